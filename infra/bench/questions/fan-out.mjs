import { setTimeout as sleep } from 'node:timers/promises';
import { cpuFromNow } from '../bed/processes.mjs';
import { gather, until } from '../load/audience.mjs';
import { turns } from '../report/rounds.mjs';
import { change, subscriptionOf, withChanges } from './changes.mjs';
import { measure } from './http.mjs';

/** How often something changes, and how many changes one transaction makes: about as many messages for each size. */
const SIZES = [
  { subscribers: 1, perSecond: 200, burst: 2000 },
  { subscribers: 100, perSecond: 50, burst: 100 },
  { subscribers: 1000, perSecond: 5, burst: 20 },
];

export const fanOut = {
  id: 'fan-out',
  title: 'Each event to many subscribers of the same operation',
  variants: ['readback', 'apollo-express', 'postgraphile', 'pubsub', 'broadcast'],
  mostRounds: 2,
  compared: {
    'cpu-1000': 'processor time per message to 1,000',
    'cpu-100': 'to 100',
    'cpu-1': 'to 1',
    'messages-1000': 'messages a second to 1,000',
  },
  async run({ bed, variants, rounds, seconds, say }) {
    const results = SIZES.map(() => []);
    for (const { round, name } of turns(variants, rounds)) {
      const own = await bed(name);
      await withChanges(name, own, async (variant) => {
        for (const [place, result] of (await sized(variant, own, seconds)).entries()) {
          say(
            `fan-out round ${round}: ${name} to ${SIZES[place].subscribers}: ${result.cpu.toFixed(1)} µs a message, ${Math.round(result.messages)} messages/s`,
          );
          results[place].push({ name, ...result });
        }
      });
    }
    return SIZES.flatMap(({ subscribers }, place) => {
      const to = subscribers.toLocaleString('en');
      return [
        measure('cpu', `processor time of the server for a message to ${to}, µs`, 'less', results[place], subscribers),
        measure(
          'messages',
          `messages per second to ${to}, of one big transaction`,
          'more',
          results[place],
          subscribers,
        ),
      ];
    });
  },
};

/** The audience grows from size to size. */
async function sized(variant, bed, seconds) {
  const audience = await gather(variant, subscriptionOf(variant.name));
  try {
    const results = [];
    let there = 0;
    for (const size of SIZES) {
      await audience.open(size.subscribers - there);
      there = size.subscribers;
      const heard = await settled(variant, bed, audience);
      const paced = await pacedOut(variant, bed, audience, heard, size, seconds);
      results.push({ ...paced, messages: await burst(variant, bed, audience, size) });
    }
    return results;
  } finally {
    audience.close();
  }
}

/** Everyone is subscribed, and nothing is under way any more. */
async function settled(variant, bed, audience) {
  const { least } = await audience.heard();
  await until(async () => {
    await change(variant, bed);
    await sleep(100);
    return (await audience.heard()).least > least;
  }, 'all subscribers hear of a change');
  let last = -1;
  await until(async () => {
    const { total } = await audience.heard();
    if (total === last) return true;
    last = total;
    await sleep(500);
    return false;
  }, 'nothing is under way');
  return last;
}

async function pacedOut(variant, bed, audience, before, { subscribers, perSecond }, seconds) {
  const changes = perSecond * seconds;
  const used = cpuFromNow(variant.pid);
  const started = performance.now();
  for (let n = 0; n < changes; n++) {
    const due = started + (n * 1000) / perSecond;
    if (due > performance.now()) await sleep(due - performance.now());
    await change(variant, bed);
  }
  const total = before + changes * subscribers;
  await until(async () => (await audience.heard()).total >= total, `${total} messages`);
  return { cpu: used() / (changes * subscribers) };
}

async function burst(variant, bed, audience, { subscribers, burst: many }) {
  const { total } = await audience.heard();
  const started = performance.now();
  await change(variant, bed, many);
  await until(async () => (await audience.heard()).total >= total + many * subscribers, `${many} changes to all`);
  return (many * subscribers * 1000) / (performance.now() - started);
}
