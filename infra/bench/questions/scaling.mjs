import { startBed } from '../bed/bed.mjs';
import { cpuMs, databaseCpuMs } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { press } from '../load/press.mjs';
import { measure, pressed, requestsFor } from './http.mjs';
import { pointAsks } from './point.mjs';
import { updateAsks } from './update.mjs';

const CONNECTIONS = 16;

/**
 * Processor time that a read and a write take of each part. All parts share the machine, so requests per second do not
 * grow with them; on machines of their own they would, as far as these figures go.
 */
export const scaling = {
  id: 'scaling',
  title: 'With 1 to 3 replicas and 1 to 2 servers',
  variants: ['readback'],
  async run({ fsync, seconds, quick, say }) {
    const bed = await startBed({ users: quick ? 1e3 : 1e4, fsync, replicas: 3, say });
    try {
      const [reads, writes] = [[], []];
      for (const servers of [1, 2])
        for (const replicas of [1, 2, 3]) {
          const urls = { ...bed.urls, replicas: bed.urls.replicas.slice(0, replicas) };
          const part = { bed: { ...bed, urls }, servers, seconds, name: named(servers, replicas) };
          reads.push(await spent(part, pointAsks.readback, 'reader'));
          writes.push(await spent(part, updateAsks.readback, 'administrator'));
          say(
            `${part.name}: ${[reads, writes].map((all) => Math.round(all.at(-1).perSecond)).join(' reads, ')} writes/s`,
          );
        }
      return [...costs('read', reads), ...costs('write', writes)];
    } finally {
      await bed.stop();
    }
  },
};

const many = (count, what) => `${count} ${what}${count > 1 ? 's' : ''}`;
const named = (servers, replicas) => `${many(servers, 'server')}, ${many(replicas, 'replica')}`;

async function spent({ bed, servers, seconds, name }, ask, as) {
  const started = [];
  try {
    for (let index = 0; index < servers; index++) started.push(await startVariant('readback', bed, { as }));
    const load = { connections: CONNECTIONS, seconds };
    await Promise.all(started.map((variant) => pressed(variant, ask, { ...bed, ...load })));
    const before = cpuNow(started, bed.dir);
    const rates = await Promise.all(
      started.map((variant) => press(variant.url, requestsFor(variant, ask, bed.users), load)),
    );
    const after = cpuNow(started, bed.dir);
    const perSecond = rates.reduce((sum, rate) => sum + rate.perSecond, 0);
    const each = (part) => ((after[part] - before[part]) * 1000) / (perSecond * seconds);
    return { name, perSecond, server: each('server'), primary: each('primary'), replicas: each('replicas') };
  } finally {
    for (const variant of started) await variant.stop();
  }
}

const cpuNow = (started, dir) => ({
  server: started.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
  primary: databaseCpuMs(dir, /primary/),
  replicas: databaseCpuMs(dir, /replica/),
});

const costs = (what, results) => [
  measure('perSecond', `${what}s per second`, 'more', results, what),
  measure('server', `servers' processor time a ${what}, µs`, 'less', results, what),
  measure('primary', `primary's processor time a ${what}, µs`, 'less', results, what),
  measure('replicas', `all replicas' processor time a ${what}, µs`, 'less', results, what),
];
