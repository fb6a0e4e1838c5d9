import { setTimeout as sleep } from 'node:timers/promises';
import { SetupError } from '../lib/errors.ts';
import { fromUrl } from './conninfo.ts';
import { allowCopy } from './logins.ts';
import { follow, type ReplicaCommit } from './replicate.ts';
import type { Server } from './requirements.ts';
import { subscribedOn } from './shapes.ts';

const POLL_MS = 100;
const MOST_WAIT_MS = 300_000;

/**
 * Where somebody else makes the subscriptions, such as an operator of Kubernetes: lets their login copy, waits until they
 * have, and follows what is published. Their connection, slot and options are theirs to keep, but for the one by which a
 * replica could lose what it has confirmed.
 * @throws SetupError where none appears within five minutes.
 */
export async function awaitSubscription(
  primary: Server,
  replica: Server,
  primaryUrl: string,
  commit: ReplicaCommit,
  say: (line: string) => void,
): Promise<void> {
  const { user } = fromUrl(primaryUrl);
  if (user === undefined) throw new SetupError(NO_LOGIN);
  await allowCopy(primary.admin, user);
  if ((await subscribedOn(replica.admin)).length === 0)
    say(`${replica.name}: waiting for the subscription readback to the publication readback`);
  for (const deadline = Date.now() + MOST_WAIT_MS; (await subscribedOn(replica.admin)).length === 0;) {
    if (Date.now() > deadline) throw new SetupError(missing(replica));
    await sleep(POLL_MS);
  }
  await follow(primary, replica, commit);
}

const NO_LOGIN =
  'SUBSCRIPTIONS=awaited needs to know whom the replicas stream as: set PRIMARY_REPLICATION_URL with that user in it.';

const missing = ({ name, at }: Server) =>
  `${name} (${at}): SUBSCRIPTIONS is awaited, and no subscription named readback was made there within ${MOST_WAIT_MS} ms. ` +
  'Look at what makes it, or set SUBSCRIPTIONS=made to have set-up make it.';
