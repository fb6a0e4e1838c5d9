import { setTimeout as sleep } from 'node:timers/promises';
import { startVariant } from '../bed/variants.mjs';
import { turned } from '../report/rounds.mjs';
import { measure } from './http.mjs';
import { pointAsks } from './point.mjs';

const EVERY_MS = 2;

/** From the start of the process to the first 200, over databases that are ready. Peers are asked for a user. */
export const start = {
  id: 'start',
  title: 'From the start of the process to the first answer',
  variants: Object.keys(pointAsks),
  async run({ bed, variants, rounds, say }) {
    const results = [];
    for (let round = 0; round < rounds; round++) {
      for (const name of turned(variants, round, rounds)) {
        const ms = await started(name, await bed());
        say(`start round ${round + 1}: ${name} ${Math.round(ms)} ms`);
        results.push({ name, ms });
      }
    }
    return [measure('ms', 'ms', 'less', results)];
  },
};

async function started(name, bed) {
  const first = { ms: undefined };
  const began = performance.now();
  const watched = async (url) => {
    const { path, ...request } = name === 'readback' ? { path: '/health/ready' } : pointAsks[name].request(1);
    while (
      !(await fetch(url + path, request).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await sleep(EVERY_MS);
    first.ms = performance.now() - began;
  };
  const variant = await startVariant(name, bed, { watched });
  await variant.stop();
  return first.ms;
}
