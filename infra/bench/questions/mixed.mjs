import { fileURLToPath } from 'node:url';
import { sampleOf } from '../bed/bed.mjs';
import { runNode } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { turned } from '../report/rounds.mjs';
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
  async run({ bed, variants, rounds, seconds, say }) {
    const results = [];
    for (let round = 0; round < rounds; round++) {
      for (const name of turned(variants, round, rounds)) {
        const variant = await startVariant(name, await bed(), { as: 'administrator' });
        try {
          await played(variant, (await bed()).users, 1);
          const result = await played(variant, (await bed()).users, seconds);
          say(
            `mixed round ${round + 1}: ${name} ${Math.round(result.perSecond)} requests/s, ${result.stale.toFixed(1)} % stale`,
          );
          results.push({ name, ...result });
        } finally {
          await variant.stop();
        }
      }
    }
    return [
      measure('perSecond', 'requests per second', 'more', results),
      measure('stale', 'reads of an own write that did not show it, %', 'less', results),
    ];
  },
};

const played = ({ name, url, headers }, users, seconds) =>
  runNode([program], { url, headers, seconds, asks: asksOf(name, users) });

function asksOf(name, users) {
  const numbers = sampleOf(users, CONNECTIONS * (1 + OTHERS));
  return Array.from({ length: CONNECTIONS }, (_, client) => {
    const [own, ...others] = numbers.slice(client * (1 + OTHERS), (client + 1) * (1 + OTHERS));
    const write = updateAsks[name].request(own, users);
    return {
      read: pointAsks[name].request(own, users),
      write: { ...write, body: write.body.replace(`Name${own}`, 'VALUE') },
      others: others.map((n) => pointAsks[name].request(n, users)),
    };
  });
}
