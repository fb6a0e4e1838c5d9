import { isDeepStrictEqual } from 'node:util';
import { sampleOf } from '../bed/bed.mjs';
import { cpuFromNow } from '../bed/processes.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';
import { press } from '../load/press.mjs';
import { turns } from '../report/rounds.mjs';
import { canonical, send } from './ask.mjs';

const SAMPLE = 5000;
const CHECKED = 3;
export const CONNECTIONS = 32;

/** How many requests a second each variant answers, and how long they take, from a fresh process in each round. */
export function httpQuestion({ id, title, asks, as, settingsOf = () => ({}), connections = CONNECTIONS }) {
  return {
    id,
    title,
    variants: Object.keys(asks),
    compared: { cpu: 'processor time per request', perSecond: 'requests a second' },
    async run({ bed, variants, rounds, seconds, say }) {
      const results = [];
      let expected;
      for (const { round, name } of turns(variants, rounds)) {
        const ask = asks[kindOf(name)];
        const own = await bed(name);
        const { users } = own;
        const variant = await startVariant(name, own, { as, settings: settingsOf(name, own) });
        try {
          expected = await checked(variant, ask, users, expected);
          const result = await pressed(variant, ask, { users, connections, seconds });
          say(
            `${id} round ${round}: ${name} ${Math.round(result.perSecond)} requests/s, p99 ${result.p99.toFixed(1)} ms, ${Math.round(result.cpu)} µs of the processor each`,
          );
          results.push({ name, ...result });
        } finally {
          await variant.stop();
        }
      }
      return [
        measure('perSecond', 'requests per second', 'more', results),
        measure('p50', 'median, ms', 'less', results),
        measure('p99', '99th percentile, ms', 'less', results),
        measure('cpu', 'processor time of the server a request, µs', 'less', results),
      ];
    },
  };
}

/** A column of results, round after round, for each variant; `of` tells columns with the same key apart. */
export function measure(key, title, better, results, of) {
  const variants = {};
  for (const { name, ...values } of results) if (key in values) (variants[name] ??= []).push(values[key]);
  return { id: of === undefined ? key : `${key}-${of}`, title, better, variants };
}

/** Every variant gives the answer that the first one gave, or nothing is measured. */
export async function checked({ name, url, headers }, ask, users, expected) {
  const rows = [];
  for (const n of sampleOf(users, CHECKED))
    rows.push(canonical(ask.rows(await send(url, headers, ask.request(n, users)))));
  if (JSON.stringify(rows).includes('"errors"')) throw new Error(`${name} failed: ${JSON.stringify(rows[0])}`);
  if (expected && !isDeepStrictEqual(rows, expected.rows)) {
    const [ours, theirs] = [rows, expected.rows].map((each) => JSON.stringify(each).slice(0, 1000));
    throw new Error(`${name} and ${expected.name} answer differently:\n${ours}\n${theirs}`);
  }
  return expected ?? { name, rows };
}

/** V8 takes that long until what is asked again and again runs as fast as it will. */
const WARM_UP_S = 5;

export async function pressed(variant, ask, { users, connections, seconds }) {
  const requests = requestsFor(variant, ask, users);
  await warmUp(variant, requests, { connections, seconds });
  return pressedWarm(variant, requests, { connections, seconds });
}

export const warmUp = ({ url }, requests, { connections, seconds }) =>
  press(url, requests, { connections, seconds: Math.min(WARM_UP_S, 2 * seconds), checks: true });

export async function pressedWarm({ name, url, pid }, requests, { connections, seconds }) {
  const used = cpuFromNow(pid);
  const result = await press(url, requests, { connections, seconds });
  if (result.answered === 0) throw new Error(`${name} answered nothing within ${seconds} s`);
  return { ...result, cpu: used() / result.answered };
}

export const requestsFor = ({ headers }, ask, users) =>
  sampleOf(users, SAMPLE)
    .map((n) => ask.request(n, users))
    .map((request) => ({ ...request, headers: { ...headers, ...request.headers } }));
