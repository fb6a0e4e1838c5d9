import { isDeepStrictEqual } from 'node:util';
import { sampleOf } from '../bed/bed.mjs';
import { startVariant } from '../bed/variants.mjs';
import { press } from '../load/press.mjs';
import { turned } from '../report/rounds.mjs';
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
    async run({ bed, variants, rounds, seconds, say }) {
      const { users } = await bed();
      const results = [];
      let expected;
      for (let round = 0; round < rounds; round++) {
        for (const name of turned(variants, round, rounds)) {
          const variant = await startVariant(name, await bed(), { as, settings: settingsOf(name, await bed()) });
          try {
            expected = await checked(variant, asks[name], users, expected);
            const result = await pressed(variant, asks[name], { users, connections, seconds });
            say(
              `${id} round ${round + 1}: ${name} ${Math.round(result.perSecond)} requests/s, p99 ${result.p99.toFixed(1)} ms`,
            );
            results.push({ name, ...result });
          } finally {
            await variant.stop();
          }
        }
      }
      return [
        measure('perSecond', 'requests per second', 'more', results),
        measure('p50', 'median, ms', 'less', results),
        measure('p99', '99th percentile, ms', 'less', results),
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
  await press(variant.url, requests, { connections, seconds: Math.min(WARM_UP_S, 2 * seconds), checks: true });
  const result = await press(variant.url, requests, { connections, seconds });
  if (result.perSecond === 0) throw new Error(`${variant.name} answered nothing within ${seconds} s`);
  return result;
}

export const requestsFor = ({ headers }, ask, users) =>
  sampleOf(users, SAMPLE)
    .map((n) => ask.request(n, users))
    .map((request) => ({ ...request, headers: { ...headers, ...request.headers } }));
