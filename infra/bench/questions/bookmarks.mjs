import { userId } from '../bed/bed.mjs';
import { cpuFromNow } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { quantile, turns } from '../report/rounds.mjs';
import { graphql, send } from './ask.mjs';
import { measure } from './http.mjs';
import { pointAsks } from './point.mjs';

const OWN = 2;
const write = graphql(
  'mutation ($id: ID!, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { bookmark } }',
  (name) => ({ id: userId(OWN), input: { firstName: name } }),
);

/** A read right after the write that it must see; and one that needs to see nothing, for comparison. */
export const bookmarks = {
  id: 'bookmarks',
  title: 'How long a read waits for a fresh bookmark, idle otherwise',
  variants: ['readback'],
  compared: { cpu: 'processor time per request', p50: 'median wait' },
  async run({ bed, variants, rounds, quick, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const variant = await startVariant(name, await bed(name), { as: 'administrator' });
      try {
        const used = cpuFromNow(variant.pid);
        const [marked, plain] = await waits(variant, quick ? 100 : 500);
        const cpu = used() / (REQUESTS * marked.length);
        say(
          `bookmarks round ${round}: ${name} p50 ${quantile(marked, 0.5).toFixed(2)}, p99 ${quantile(marked, 0.99).toFixed(2)} ms`,
        );
        results.push({ name, p50: quantile(marked, 0.5), p99: quantile(marked, 0.99), cpu });
        if (name === 'readback')
          results.push({ name: 'without a bookmark', p50: quantile(plain, 0.5), p99: quantile(plain, 0.99) });
      } finally {
        await variant.stop();
      }
    }
    return [
      measure('p50', 'median wait, ms', 'less', results),
      measure('p99', '99th percentile, ms', 'less', results),
      measure('cpu', 'processor time of the server a request, µs', 'less', results),
    ];
  },
};

/** A write, and two reads. */
const REQUESTS = 3;

async function waits({ url, headers }, times) {
  const read = async (bookmark) => {
    const marked = { ...headers, ...(bookmark && { 'readback-bookmark': bookmark }) };
    return (await send(url, marked, pointAsks.readback.request(OWN))).extensions.readback.waitedMs;
  };
  const [marked, plain] = [[], []];
  for (let n = 0; n < times; n++) {
    const { data } = await send(url, headers, write.request(`Bookmark ${n}`));
    marked.push(await read(data.updateUser.bookmark));
    plain.push(await read());
  }
  return [marked, plain];
}
