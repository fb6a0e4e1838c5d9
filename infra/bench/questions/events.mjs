import { setTimeout as sleep } from 'node:timers/promises';
import { userId } from '../bed/bed.mjs';
import { cpuFromNow } from '../bed/processes.mjs';
import { openSocket } from '../load/socket.mjs';
import { quantile, turns } from '../report/rounds.mjs';
import { subscriptionOf, withChanges } from './changes.mjs';
import { measure } from './http.mjs';

const WATCHED = userId(1);
/** As many before them are not counted. Of 500, a single collection or compilation would be a twentieth. */
const COMMITS = 2000;

/**
 * From the client's COMMIT to the event, on one websocket, idle otherwise. A bare client of the replica's NOTIFY hears of
 * the same commits beside it, in the same process.
 */
export const events = {
  id: 'events',
  title: 'From commit to event',
  variants: ['readback', 'apollo-express', 'postgraphile'],
  compared: { cpu: 'processor time per event', p50: 'median from commit to event' },
  async run({ bed, variants, rounds, quick, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const own = await bed(name);
      const result = await withChanges(name, own, (variant) => timed(variant, own, quick ? 200 : COMMITS));
      say(
        `events round ${round}: ${name} p50 ${result.p50.toFixed(2)} ms, bare LISTEN ${result.listen50.toFixed(2)} ms, ${Math.round(result.cpu)} µs of the processor each`,
      );
      results.push({ name, ...result });
    }
    return [
      measure('above', 'median above a bare LISTEN client that heard of the same commits, ms', 'less', results),
      measure('p50', 'median, ms', 'less', [...results, ...bare(results, 'listen50', 'p50')]),
      measure('p99', '99th percentile, ms', 'less', [...results, ...bare(results, 'listen99', 'p99')]),
      measure('cpu', 'processor time of the server an event, µs', 'less', results),
    ];
  },
};

/** The bare client heard beside every variant: that beside Readback stands for it. */
const bare = (results, from, to) =>
  results.filter(({ name }) => name === 'readback').map((result) => ({ name: 'bare LISTEN', [to]: result[from] }));

async function timed(variant, { primary, replica }, commits) {
  let [wanted, arrived, rang] = [undefined, undefined, undefined];
  const listener = await replica.listen('readback', () => rang?.(performance.now()));
  const socket = await openSocket(variant);
  socket.subscribe('1', subscriptionOf(variant.name), ({ data }) => {
    if (data.userChanged.user.firstName === wanted) arrived?.(performance.now());
  });
  const commit = async (firstName) => {
    wanted = firstName;
    const event = new Promise((resolve) => (arrived = resolve));
    const bell = new Promise((resolve) => (rang = resolve));
    await primary`update users set first_name = ${firstName} where id = ${WATCHED}`;
    return { committed: performance.now(), event, bell };
  };
  await live(commit);
  for (let n = 0; n < commits; n++) await (await commit(`Uncounted ${n}`)).event; // the server warms up
  const [events, bells] = [[], []];
  const used = cpuFromNow(variant.pid);
  for (let n = 0; n < commits; n++) {
    const { committed, event, bell } = await commit(`Event ${n}`);
    events.push((await event) - committed);
    bells.push((await bell) - committed);
  }
  const cpu = used() / commits;
  socket.close();
  await listener.unlisten();
  const above = quantile(
    events.map((value, n) => value - bells[n]),
    0.5,
  );
  return {
    above,
    p50: quantile(events, 0.5),
    p99: quantile(events, 0.99),
    listen50: quantile(bells, 0.5),
    listen99: quantile(bells, 0.99),
    cpu,
  };
}

/** A subscription is live once an event has come; nothing says so before. */
async function live(commit) {
  for (let n = 0; n < 100; n++) {
    const { event } = await commit(`Probe ${n}`);
    if (await Promise.race([event, sleep(200)])) return;
  }
  throw new Error('no event came of 100 changes');
}
