import { project } from '../../schema/project.ts';
import type { Parts } from './servers.ts';
import { Access, NOBODY } from '../auth/access.ts';
import { SigningKeys } from '../auth/keys.ts';
import { Renewals } from '../auth/renewals.ts';
import { Sessions } from '../auth/sessions.ts';
import { Throttle } from '../auth/throttle.ts';
import { Tokens } from '../auth/tokens.ts';
import type { Feed } from '../feed/feed.ts';
import { Hasher } from '../lib/password.ts';
import type { Router } from '../reads/router.ts';
import type { Primary } from '../replication/primary.ts';

const HOUR_MS = 3_600_000;

/** Who signs in, and whether they still may. */
export async function startPeople(
  parts: Parts,
  primary: Primary,
  feed: Feed,
  router: Router,
): Promise<{ access: Access; hasher: Hasher }> {
  const { config, pools, releasers } = parts;
  const { complain } = pools;
  const accounts = project.accounts ?? NOBODY;
  const renewals = new Renewals(primary, accounts, (id) => sessions.lookAt(id), complain);
  const sessions: Sessions = new Sessions({ accounts, feed, router, primary, renewals, complain });
  releasers.add('sessions', () => sessions.stop());
  releasers.add('renewals', () => renewals.stop());
  if (project.accounts) sessions.start();
  if (project.accounts && config.ACCESS === 'protected') await renewals.start();
  const hasher = openHasher(parts);
  return { access: openAccess(parts, { primary, hasher, renewals, sessions }), hasher };
}

function openHasher({ config }: Parts): Hasher {
  const { HASH_CONCURRENCY: most, HASH_QUEUE: queue } = config;
  // Where spenders are limited, one of them has half of the turns at most.
  return new Hasher(most, queue, config.COST_PER_SECOND_MAX > 0 ? Math.ceil(most / 2) : most);
}

interface AccessParts {
  primary: Primary;
  hasher: Hasher;
  renewals: Renewals;
  sessions: Sessions;
}

function openAccess({ config, pools }: Parts, people: AccessParts): Access {
  const { writer } = people.primary;
  const tokenTtlMs = config.ACCESS_TOKEN_TTL_MS;
  const rotationMs = config.ACCESS_KEY_ROTATION_HOURS * HOUR_MS;
  const keys = new SigningKeys({ writer, rotationMs, tokenTtlMs, complain: pools.complain });
  return new Access({
    ...people,
    isOpen: config.ACCESS === 'open',
    accounts: project.accounts,
    keys,
    tokens: new Tokens(keys, tokenTtlMs, config.ACCESS_SESSION_HOURS * HOUR_MS),
    throttle: new Throttle({
      failuresPerAccount: config.SIGN_IN_FAILURES_MAX,
      failuresPerAddress: config.SIGN_IN_FAILURES_PER_ADDRESS_MAX,
      signUpsPerAddress: config.SIGN_UPS_PER_ADDRESS_MAX,
      windowMs: config.SIGN_IN_WINDOW_MS,
    }),
  });
}
