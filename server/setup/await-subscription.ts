import { setTimeout as sleep } from 'node:timers/promises';
import { subscriptionOf } from '../database/sql/subscriptions.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { fromUrl } from './conninfo.ts';
import { allowCopy } from './logins.ts';
import { follow, type ReplicaCommit } from './replicate.ts';
import type { Server } from './requirements.ts';

const POLL_MS = 100;
const MOST_WAIT_MS = 300_000;

/**
 * Where somebody else makes the subscriptions, such as an operator of Kubernetes: lets their login copy, waits until they
 * have, and follows what is published. Their connection, slot and options are theirs to keep, but for the one by which a
 * replica could lose what it has confirmed. One that was made before there was anything to subscribe to is made to begin.
 * @throws SetupError where none appears within five minutes, and at once for one that is to something else.
 */
export async function awaitSubscription(
  primary: Server,
  replica: Server,
  primaryUrl: string,
  commit: ReplicaCommit,
  say: Say,
): Promise<void> {
  const { user } = fromUrl(primaryUrl);
  if (user === undefined) throw new SetupError(NO_LOGIN);
  await allowCopy(primary.admin, user);
  let made = await subscriptionOf(replica.admin);
  if (!made) say(`${replica.name}: waiting for the subscription readback to the publication readback`);
  for (const deadline = Date.now() + MOST_WAIT_MS; !made; made = await subscriptionOf(replica.admin)) {
    if (Date.now() > deadline) throw new SetupError(missing(replica));
    await sleep(POLL_MS);
  }
  if (!made.publications.includes('readback')) throw new SetupError(toOthers(replica, made.publications));
  await follow(primary, replica, commit);
}

const toOthers = ({ name, at }: Server, publications: string[]) =>
  `${name} (${at}): its subscription readback is to ${publications.join(', ')}, and must be to the publication readback. ` +
  'Have what makes it name that one.';

const NO_LOGIN =
  'SUBSCRIPTIONS=awaited needs to know whom the replicas stream as: set PRIMARY_REPLICATION_URL with that user in it.';

const missing = ({ name, at }: Server) =>
  `${name} (${at}): SUBSCRIPTIONS is awaited, and no subscription named readback was made there within ${MOST_WAIT_MS} ms. ` +
  'Look at what makes it, or set SUBSCRIPTIONS=made to have set-up make it.';
