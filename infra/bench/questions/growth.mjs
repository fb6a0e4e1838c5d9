import { grow, startBed } from '../bed/bed.mjs';
import { startVariant } from '../bed/variants.mjs';
import { CONNECTIONS, measure, pressed } from './http.mjs';
import { pageAsks } from './page.mjs';
import { pointAsks } from './point.mjs';

/** One figure for each size: these show a slope, which noise of some percent does not hide. */
async function cell(name, bed, ask, { seconds, connections = CONNECTIONS, settings }) {
  const variant = await startVariant(name, bed, { settings });
  try {
    return await pressed(variant, ask, { users: bed.users, connections, seconds });
  } finally {
    await variant.stop();
  }
}

const shown = (count) => count.toLocaleString('en');
const RATE = ['perSecond', 'requests per second'];

export const growthRows = {
  id: 'growth-rows',
  title: 'As the table grows',
  variants: ['readback', 'floor'],
  async run({ variants, fsync, seconds, quick, say }) {
    const bed = await startBed({ users: 0, fsync, postsPerUser: 0 });
    try {
      const measures = [];
      for (const users of quick ? [1e3, 1e4, 1e5] : [1e4, 1e5, 1e6]) {
        await grow(bed, users, { postsPerUser: 0, say });
        for (const [what, asks] of [
          ['point query', pointAsks],
          ['page of 20', pageAsks],
        ]) {
          const results = [];
          for (const name of variants) results.push({ name, ...(await cell(name, bed, asks[name], { seconds })) });
          say(
            `${what} of ${shown(users)} users: ${results.map((r) => `${r.name} ${Math.round(r.perSecond)}/s`).join(', ')}`,
          );
          measures.push(
            measure(RATE[0], `${what}, ${shown(users)} users: ${RATE[1]}`, 'more', results, `${what}-${users}`),
          );
        }
      }
      return measures;
    } finally {
      await bed.stop();
    }
  },
};

export const growthConnections = {
  id: 'growth-connections',
  title: 'As connections grow',
  variants: ['readback', 'mercurius', 'floor'],
  async run({ bed, variants, seconds, say }) {
    const measures = [];
    for (const connections of [1, 10, 100, 1000]) {
      const results = [];
      for (const name of variants)
        results.push({ name, ...(await cell(name, await bed(name), pointAsks[name], { seconds, connections })) });
      say(`${connections} connections: ${results.map((r) => `${r.name} ${Math.round(r.perSecond)}/s`).join(', ')}`);
      measures.push(measure(RATE[0], `${shown(connections)} connections: ${RATE[1]}`, 'more', results, connections));
      measures.push(
        measure('p99', `${shown(connections)} connections: 99th percentile, ms`, 'less', results, connections),
      );
    }
    return measures;
  },
};
