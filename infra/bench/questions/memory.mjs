import { setTimeout as sleep } from 'node:timers/promises';
import { rssMb } from '../bed/processes.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';
import { gather } from '../load/audience.mjs';
import { turns } from '../report/rounds.mjs';
import { subscriptionOf } from './changes.mjs';
import { CONNECTIONS, measure, pressed } from './http.mjs';
import { pointAsks } from './point.mjs';

const REST_MS = 2000;
const COLLECTIONS = 4;
const COLLECTS = ['--expose-gc', '--import', new URL('../bed/collect.mjs', import.meta.url).href];
/**
 * The first make room for all, what the others add is theirs: room for garbage, too, of which 600 do not fill the 32 MB
 * that Readback's Node begins with, so that filling it would count as theirs.
 */
const [FIRST, MORE] = [1200, 1800];
const SUBSCRIBED = new Set(['readback', 'apollo-express', 'postgraphile', 'pubsub', 'broadcast']);

export const memory = {
  id: 'memory',
  title: 'Resident memory',
  variants: [...new Set([...Object.keys(pointAsks), ...SUBSCRIBED])],
  mostRounds: 1,
  compared: { idle: 'memory idle', loaded: 'under load', subscriber: 'of a subscriber' },
  async run({ bed, variants, rounds, seconds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = { name, ...(await looked(name, await bed(name), seconds)) };
      say(
        `memory round ${round}: ${JSON.stringify(result, (_, value) => (typeof value === 'number' ? Math.round(value) : value))}`,
      );
      results.push(result);
    }
    return [
      measure('idle', 'idle after the start, MB', 'less', results),
      measure('loaded', 'most while it answers point queries, MB', 'less', results),
      measure('subscriber', 'a further idle subscriber on a websocket of its own, KB', 'less', results),
    ];
  },
};

async function looked(name, bed, seconds) {
  const variant = await startVariant(name, bed, { flags: COLLECTS });
  try {
    await sleep(REST_MS);
    const idle = rssMb(variant.pid);
    const subscriber = SUBSCRIBED.has(kindOf(name)) ? await subscribers(variant) : undefined;
    const loaded = pointAsks[kindOf(name)] ? await most(variant, bed, seconds) : undefined;
    return { idle, ...(loaded && { loaded }), ...(subscriber && { subscriber }) };
  } finally {
    await variant.stop();
  }
}

async function subscribers(variant) {
  const audience = await gather(variant, subscriptionOf(variant.name));
  try {
    const [before, after] = [await rested(audience, FIRST, variant), await rested(audience, MORE, variant)];
    return ((after - before) * 1024) / MORE;
  } finally {
    audience.close();
  }
}

async function rested(audience, many, { pid }) {
  await audience.open(many);
  for (let n = 0; n < COLLECTIONS; n++) {
    await sleep(REST_MS / COLLECTIONS);
    process.kill(pid, 'SIGUSR2');
  }
  await sleep(REST_MS / COLLECTIONS);
  return rssMb(pid);
}

async function most(variant, { users }, seconds) {
  let highest = 0;
  const watch = setInterval(() => (highest = Math.max(highest, rssMb(variant.pid))), 50);
  try {
    await pressed(variant, pointAsks[kindOf(variant.name)], { users, connections: CONNECTIONS, seconds });
    return highest;
  } finally {
    clearInterval(watch);
  }
}
