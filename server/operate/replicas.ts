import type { DatabaseConfig, DatabaseUrls } from '../boot/config.ts';
import { deniedInWorker } from '../database/sql/denied.ts';
import { slotsOf } from '../database/sql/slots.ts';
import { subscriptionOf } from '../database/sql/subscriptions.ts';
import { describeUrl, isDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { toGrant } from '../setup/providers.ts';
import { slotName } from '../setup/replicate.ts';
import { setUp, type SetupConfig } from '../setup/setup.ts';
import { assertMayTake, dropSlot, dropSubscription, isSlotName, leftOf, loginsLeft } from './attach.ts';
import {
  basicsOf,
  reachableOf,
  unreachable,
  withServers,
  type OperatedServer,
  type Servers,
} from '../setup/servers.ts';

/** Sets one more replica up. Replicas that are away now are left out: their logs know all that the new one will. */
export async function addReplica(
  databases: DatabaseConfig,
  added: DatabaseUrls,
  config: SetupConfig,
  say: Say,
): Promise<void> {
  if (databases.replicas.some(({ url }) => describeUrl(url) === describeUrl(added.url)))
    throw new SetupError(`${describeUrl(added.url)} is configured already: run readback migrate.`);
  const there = await withServers(databases, config, 'replica add', async ({ replicas }) => {
    const reachable = await reachableOf(replicas, config.DB_CONNECT_TIMEOUT_MS);
    await refuseFailing(reachable);
    return reachable;
  });
  await setUp({ ...databases, replicas: [...there.map(({ urls }) => urls), added] }, config, say);
}

/** From where on the new one's log is complete, all of them must have got to. @throws SetupError where one never will. */
async function refuseFailing(replicas: OperatedServer[]): Promise<void> {
  for (const { name, at, admin } of replicas) {
    const denied = await deniedInWorker(admin);
    if (!denied) continue;
    const { provider } = await basicsOf(admin);
    throw new SetupError(
      `${name} (${at}): its apply worker fails: ${denied.words}. ${toGrant(provider, denied.statement)} Then add the new one.`,
    );
  }
}

/** What is to be dropped, in words for a question, and its deed. */
export interface Drop {
  does: string;
  run: () => Promise<void>;
}

/** `which` is a name as replica-2, the URL of a replica that need not be configured any more, or the name of a slot. */
export async function planDrop(servers: Servers, which: string, config: SetupConfig): Promise<Drop> {
  const reason = await unreachable(servers.primary, config.DB_CONNECT_TIMEOUT_MS);
  if (reason !== undefined)
    throw new SetupError(`primary (${servers.primary.at}) cannot be used, so no slot can be dropped there: ${reason}`);
  if (isSlotName(which)) return dropOfSlot(servers, which, config);
  const replica = find(servers.replicas, which);
  const isAway = (await unreachable(replica, config.DB_CONNECT_TIMEOUT_MS)) !== undefined;
  return isAway ? dropOfLost(servers, replica, config) : dropOf(servers, replica);
}

function find(replicas: OperatedServer[], which: string): OperatedServer {
  const at = isDatabaseUrl(which) ? describeUrl(which) : undefined;
  const replica = replicas.find(({ name, at: place }) => name === which || place === at);
  if (replica) return replica;
  const names = replicas.map(({ name, at: place }) => `${name} (${place})`).join(', ');
  throw new SetupError(`No replica is named ${at ?? which}. There are: ${names}.`);
}

/** A drop that was cut short has left what comes after the subscription: its names are those of the replica. */
async function dropOf({ primary }: Servers, replica: OperatedServer): Promise<Drop> {
  const subscription = await subscriptionOf(replica.admin);
  const slot = subscription?.slot ?? (await slotName(replica.admin));
  const left = await leftOf(primary, slot);
  const place = `${replica.name} (${replica.at})`;
  if (!subscription && left === undefined)
    throw new SetupError(
      `${place} has no subscription readback, and the primary nothing of it: there is nothing to drop.`,
    );
  await assertMayTake({ primary, names: [slot], replicas: [replica] });
  return {
    does: subscription
      ? `Drop the subscription of ${place}${left === undefined ? '' : `, and the ${left} on the primary`}. Its tables stay as they are.`
      : `Drop the ${left} on the primary, which are left of the subscription that ${place} had.`,
    run: async () => {
      await dropSubscription(replica);
      await dropSlot(primary, slot);
    },
  };
}

/** Its slot is named after what it is, which nobody can ask any more: it is the one that nobody else reads. */
async function dropOfLost(servers: Servers, replica: OperatedServer, config: SetupConfig): Promise<Drop> {
  const { primary } = servers;
  const used = await slotsInUse(servers, config);
  const slots = (await slotsOf(primary.admin)).filter(({ isActive }) => !isActive).map(({ name }) => name);
  const unread = [...slots, ...(await loginsLeft(primary))].filter((name) => !used.has(name));
  const place = `${replica.name} (${replica.at})`;
  const [name] = unread;
  if (name === undefined)
    throw new SetupError(
      `${place} does not answer, and the primary has no slot that nobody reads, nor a login of one.`,
    );
  if (unread.length > 1)
    throw new SetupError(`${place} does not answer, and nobody reads ${unread.join(', ')}: name its slot instead.`);
  const drop = await dropOfName(servers, name);
  return { ...drop, does: `${place} does not answer. ${drop.does} Nobody reads there.` };
}

async function dropOfSlot(servers: Servers, slot: string, config: SetupConfig): Promise<Drop> {
  const user = (await slotsInUse(servers, config)).get(slot);
  if (user !== undefined) throw new SetupError(`The slot ${slot} is of ${user}: run readback replica drop ${user}`);
  return dropOfName(servers, slot);
}

async function dropOfName({ primary }: Servers, name: string): Promise<Drop> {
  const left = await leftOf(primary, name);
  if (left === undefined) throw new SetupError(`The primary has neither a slot nor a login ${name}.`);
  await assertMayTake({ primary, names: [name], replicas: [] });
  return { does: `Drop the ${left} on the primary.`, run: async () => void (await dropSlot(primary, name)) };
}

/** By name of the slot, of the replicas that answer. */
async function slotsInUse({ replicas }: Servers, config: SetupConfig): Promise<Map<string, string>> {
  const used = new Map<string, string>();
  for (const { name, admin } of await reachableOf(replicas, config.DB_CONNECT_TIMEOUT_MS)) {
    const slot = (await subscriptionOf(admin))?.slot;
    if (slot != null) used.set(slot, name);
  }
  return used;
}
