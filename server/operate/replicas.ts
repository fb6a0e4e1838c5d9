import type { DatabaseConfig, DatabaseUrls } from '../config.ts';
import { describeUrl, isDatabaseUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { setUp } from '../setup/setup.ts';
import { dropSlot, dropSubscription, isSlotName } from './detach.ts';
import { slotsOf } from './doctor/look/primary.ts';
import { lookAtSubscription } from './status/look.ts';
import {
  reachableOf,
  unreachable,
  withServers,
  type OperateConfig,
  type OperatedServer,
  type Servers,
} from './servers.ts';

type Say = (line: string) => void;

/** Sets one more replica up. Replicas that are away now are left out: their logs know all that the new one will. */
export async function addReplica(
  databases: DatabaseConfig,
  added: DatabaseUrls,
  config: OperateConfig,
  say: Say,
): Promise<void> {
  if (databases.replicas.some(({ url }) => describeUrl(url) === describeUrl(added.url)))
    throw new SetupError(`${describeUrl(added.url)} is configured already: run readback migrate.`);
  const there = await withServers(databases, config, 'replica add', ({ replicas }) =>
    reachableOf(replicas, config.DB_CONNECT_TIMEOUT_MS),
  );
  await setUp({ ...databases, replicas: [...there.map(({ urls }) => urls), added] }, config, say);
}

/** What is to be dropped, in words for a question, and its deed. */
export interface Drop {
  does: string;
  run: () => Promise<void>;
}

/** `which` is a name as replica-2, the URL of a replica that need not be configured any more, or the name of a slot. */
export async function planDrop(servers: Servers, which: string, config: OperateConfig): Promise<Drop> {
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

async function dropOf({ primary }: Servers, replica: OperatedServer): Promise<Drop> {
  const slot = (await lookAtSubscription(replica.admin))?.slot;
  const place = `${replica.name} (${replica.at})`;
  if (slot == null) throw new SetupError(`${place} has no subscription readback: there is nothing to drop.`);
  return {
    does: `Drop the subscription of ${place}, and the slot and login ${slot} on the primary. Its tables stay as they are.`,
    run: async () => {
      await dropSubscription(replica);
      await dropSlot(primary, slot);
    },
  };
}

/** Its slot is named after what it is, which nobody can ask any more: it is the one that nobody else reads. */
async function dropOfLost(servers: Servers, replica: OperatedServer, config: OperateConfig): Promise<Drop> {
  const used = await slotsInUse(servers, config);
  const unread = (await slotsOf(servers.primary.admin)).filter(({ name, isActive }) => !isActive && !used.has(name));
  const place = `${replica.name} (${replica.at})`;
  const [slot] = unread;
  if (!slot) throw new SetupError(`${place} does not answer, and the primary has no slot that nobody reads.`);
  if (unread.length > 1) {
    const names = unread.map(({ name }) => name).join(', ');
    throw new SetupError(`${place} does not answer, and nobody reads ${names}: name its slot instead.`);
  }
  return {
    does: `${place} does not answer. Drop the slot and login ${slot.name} on the primary, which nobody reads.`,
    run: async () => void (await dropSlot(servers.primary, slot.name)),
  };
}

async function dropOfSlot(servers: Servers, slot: string, config: OperateConfig): Promise<Drop> {
  const user = (await slotsInUse(servers, config)).get(slot);
  if (user !== undefined) throw new SetupError(`The slot ${slot} is of ${user}: run readback replica drop ${user}`);
  const slots = await slotsOf(servers.primary.admin);
  if (!slots.some(({ name }) => name === slot)) throw new SetupError(`The primary has no slot ${slot}.`);
  return {
    does: `Drop the slot and login ${slot} on the primary.`,
    run: async () => void (await dropSlot(servers.primary, slot)),
  };
}

/** By name of the slot, of the replicas that answer. */
async function slotsInUse({ replicas }: Servers, config: OperateConfig): Promise<Map<string, string>> {
  const used = new Map<string, string>();
  for (const { name, admin } of await reachableOf(replicas, config.DB_CONNECT_TIMEOUT_MS)) {
    const slot = (await lookAtSubscription(admin))?.slot;
    if (slot != null) used.set(slot, name);
  }
  return used;
}
