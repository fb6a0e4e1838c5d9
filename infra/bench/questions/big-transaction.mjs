import { rssMb } from '../bed/processes.mjs';
import { startVariant } from '../bed/variants.mjs';
import { gather, until } from '../load/audience.mjs';
import { quantile } from '../report/rounds.mjs';
import { send } from './ask.mjs';
import { subscriptionOf } from './changes.mjs';
import { measure } from './http.mjs';
import { pointAsks } from './point.mjs';

/** One transaction changes every user while somebody subscribes to them all and somebody else reads. */
export const bigTransaction = {
  id: 'big-transaction',
  title: 'One transaction that changes every user',
  variants: ['readback'],
  async run({ bed, say }) {
    const variant = await startVariant('readback', await bed());
    const audience = await gather(variant, subscriptionOf('readback'));
    try {
      const figures = await watched(variant, audience, await bed());
      say(
        `big transaction: ${JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Math.round(value) : value))}`,
      );
      const of = (key, before, during) => [
        { name: 'before', [key]: before },
        { name: 'meanwhile', [key]: during },
      ];
      return [
        measure('memory', 'resident memory, at most, MB', 'less', of('memory', figures.before, figures.most)),
        measure(
          'p99',
          'reads one after the other, 99th percentile, ms',
          'less',
          of('p99', figures.quiet, figures.busy),
        ),
        measure('events', 'events per second from the commit on', 'more', [
          { name: 'readback', events: figures.events },
        ]),
      ];
    } finally {
      audience.close();
      await variant.stop();
    }
  },
};

async function watched(variant, audience, { primary, users }) {
  await audience.open(1);
  const pause = performance.now() + 2000;
  const quiet = await readsUntil(variant, async () => performance.now() > pause);
  const before = rssMb(variant.pid);
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, rssMb(variant.pid))), 50);
  const { total } = await audience.heard();
  await primary`update users set first_name = ${`Big ${crypto.randomUUID().slice(0, 8)}`} where username like 'user%'`;
  const committed = performance.now();
  let seconds;
  const over = async () => (await audience.heard()).total >= total + users;
  const [busy] = await Promise.all([
    readsUntil(variant, async () => seconds !== undefined),
    until(over, `${users} events`).finally(() => (seconds = (performance.now() - committed) / 1000)),
  ]);
  clearInterval(watch);
  return { before, most, quiet: quantile(quiet, 0.99), busy: quantile(busy, 0.99), events: users / seconds };
}

async function readsUntil({ url, headers }, isOver) {
  const times = [];
  while (!(await isOver())) {
    const start = performance.now();
    await send(url, headers, pointAsks.readback.request(7));
    times.push(performance.now() - start);
  }
  return times;
}
