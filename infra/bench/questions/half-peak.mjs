import { fileURLToPath } from 'node:url';
import { runNode } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { turns } from '../report/rounds.mjs';
import { CONNECTIONS, measure, pressed, requestsFor } from './http.mjs';
import { pointAsks } from './point.mjs';

const program = fileURLToPath(new URL('../load/open-loop.mjs', import.meta.url));

/** Each variant at half of what it reached just before, in the same process: how long its users wait on an ordinary day. */
export const halfPeak = {
  id: 'half-peak',
  title: 'One user by its key, at half the peak rate',
  variants: Object.keys(pointAsks),
  async run({ bed, variants, rounds, seconds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = await halved(name, await bed(name), seconds);
      say(
        `half-peak round ${round}: ${name} at ${Math.round(result.rate)}/s p50 ${result.p50.toFixed(1)}, p99 ${result.p99.toFixed(1)} ms`,
      );
      results.push({ name, ...result });
    }
    return [
      measure('p99', '99th percentile, from when each request was due, ms', 'less', results),
      measure('p50', 'median, ms', 'less', results),
      measure('rate', 'rate, requests per second', 'more', results),
    ];
  },
};

async function halved(name, bed, seconds) {
  const variant = await startVariant(name, bed);
  try {
    const peak = await pressed(variant, pointAsks[name], { users: bed.users, connections: CONNECTIONS, seconds: 2 });
    const rate = Math.max(1, peak.perSecond / 2);
    const requests = requestsFor(variant, pointAsks[name], bed.users);
    return { rate, ...(await runNode([program], { url: variant.url, requests, perSecond: rate, seconds })) };
  } finally {
    await variant.stop();
  }
}
