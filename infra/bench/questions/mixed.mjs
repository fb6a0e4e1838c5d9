import { fileURLToPath } from 'node:url';
import { sampleOf } from '../bed/bed.mjs';
import { cpuFromNow, runNode } from '../bed/processes.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';
import { turns } from '../report/rounds.mjs';
import { CONNECTIONS, measure } from './http.mjs';
import { pointAsks } from './point.mjs';
import { updateAsks } from './update.mjs';

const program = fileURLToPath(new URL('../load/sessions.mjs', import.meta.url));
const OTHERS = 8;

/** One write, one read of what was written, and eight of others. The clients of Readback hand its bookmarks on. */
export const mixed = {
  id: 'mixed',
  title: 'Nine reads to a write, by clients that read what they have written',
  variants: ['readback', 'seed', 'apollo-express', 'mercurius', 'yoga'],
  compared: { cpu: 'processor time per request', perSecond: 'requests a second' },
  async run({ bed, variants, rounds, seconds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const own = await bed(name);
      const variant = await startVariant(name, own, { as: 'administrator' });
      try {
        await played(variant, own.users, 1);
        const used = cpuFromNow(variant.pid);
        const result = await played(variant, own.users, seconds);
        say(
          `mixed round ${round}: ${name} ${Math.round(result.perSecond)} requests/s, ${result.stale.toFixed(1)} % stale`,
        );
        results.push({ name, ...result, cpu: used() / result.answered });
      } finally {
        await variant.stop();
      }
    }
    return [
      measure('perSecond', 'requests per second', 'more', results),
      measure('stale', 'reads of an own write that did not show it, %', 'less', results),
      measure('cpu', 'processor time of the server a request, µs', 'less', results),
    ];
  },
};

const played = ({ name, url, headers }, users, seconds) =>
  runNode([program], { url, headers, seconds, asks: asksOf(name, users) });

function asksOf(name, users) {
  const [point, update] = [pointAsks[kindOf(name)], updateAsks[kindOf(name)]];
  const numbers = sampleOf(users, CONNECTIONS * (1 + OTHERS));
  return Array.from({ length: CONNECTIONS }, (_, client) => {
    const [own, ...others] = numbers.slice(client * (1 + OTHERS), (client + 1) * (1 + OTHERS));
    const write = update.request(own, users);
    return {
      read: point.request(own, users),
      write: { ...write, body: write.body.replace(`Name${own}`, 'VALUE') },
      others: others.map((n) => point.request(n, users)),
    };
  });
}
