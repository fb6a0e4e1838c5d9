import { cpuFromNow, rssMb } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { gather, until } from '../load/audience.mjs';
import { quantile, turns } from '../report/rounds.mjs';
import { send } from './ask.mjs';
import { subscriptionOf } from './changes.mjs';
import { measure } from './http.mjs';
import { pointAsks } from './point.mjs';

/** One transaction changes every user while somebody subscribes to them all and somebody else reads. */
export const bigTransaction = {
  id: 'big-transaction',
  title: 'One transaction that changes every user',
  variants: ['readback'],
  mostRounds: 1,
  compared: {
    cpu: 'processor time per event, with the reads meanwhile',
    events: 'events a second',
    memory: 'memory at most',
  },
  async run({ bed, variants, rounds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = { name, ...(await changedAll(name, await bed(name))) };
      say(
        `big transaction round ${round}: ${JSON.stringify(result, (_, value) => (typeof value === 'number' ? Math.round(value) : value))}`,
      );
      results.push(result);
    }
    return [
      measure('memoryBefore', 'resident memory before it, MB', 'less', results),
      measure('memory', 'resident memory meanwhile, at most, MB', 'less', results),
      measure('p99Before', 'reads one after the other before it, 99th percentile, ms', 'less', results),
      measure('p99', 'reads one after the other meanwhile, 99th percentile, ms', 'less', results),
      measure('events', 'events per second from the commit on', 'more', results),
      measure('cpu', 'processor time of the server an event, with the reads meanwhile, µs', 'less', results),
    ];
  },
};

async function changedAll(name, bed) {
  const variant = await startVariant(name, bed);
  const audience = await gather(variant, subscriptionOf(name));
  try {
    return await watched(variant, audience, bed);
  } finally {
    audience.close();
    await variant.stop();
  }
}

async function watched(variant, audience, { primary, users }) {
  await audience.open(1);
  const pause = performance.now() + 2000;
  const quiet = await readsUntil(variant, async () => performance.now() > pause);
  const memoryBefore = rssMb(variant.pid);
  let memory = memoryBefore;
  const watch = setInterval(() => (memory = Math.max(memory, rssMb(variant.pid))), 50);
  const { seconds, busy, cpu } = await meanwhile(variant, audience, { primary, users }).finally(() =>
    clearInterval(watch),
  );
  const [p99Before, p99] = [quiet, busy].map((times) => quantile(times, 0.99));
  return { memoryBefore, memory, p99Before, p99, events: users / seconds, cpu };
}

/** Reads one after the other, from the commit until everybody was told of all that it changed. */
async function meanwhile(variant, audience, { primary, users }) {
  const { total } = await audience.heard();
  await primary`update users set first_name = ${`Big ${crypto.randomUUID().slice(0, 8)}`} where username like 'user%'`;
  const committed = performance.now();
  const used = cpuFromNow(variant.pid);
  let seconds;
  const over = async () => (await audience.heard()).total >= total + users;
  const [busy] = await Promise.all([
    readsUntil(variant, async () => seconds !== undefined),
    until(over, `${users} events`).finally(() => (seconds = (performance.now() - committed) / 1000)),
  ]);
  return { seconds, busy, cpu: used() / users };
}

async function readsUntil({ url, headers }, isOver) {
  const times = [];
  while (!(await isOver())) {
    const start = performance.now();
    await send(url, headers, pointAsks.readback.request(7));
    times.push(performance.now() - start);
  }
  return times;
}
