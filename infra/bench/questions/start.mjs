import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs } from '../bed/processes.mjs';
import { kindOf, startVariant } from '../bed/variants.mjs';
import { turns } from '../report/rounds.mjs';
import { measure } from './http.mjs';
import { pointAsks } from './point.mjs';

const EVERY_MS = 2;

/** From the start of the process to the first 200, over databases that are ready. Peers are asked for a user. */
export const start = {
  id: 'start',
  title: 'From the start of the process to the first answer',
  variants: Object.keys(pointAsks),
  compared: { cpu: 'processor time per start', ms: 'time to the first answer' },
  async run({ bed, variants, rounds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = await started(name, await bed(name));
      say(`start round ${round}: ${name} ${Math.round(result.ms)} ms, ${Math.round(result.cpu)} ms of the processor`);
      results.push({ name, ...result });
    }
    return [
      measure('ms', 'ms', 'less', results),
      measure('cpu', 'processor time of the server until then, ms', 'less', results),
    ];
  },
};

async function started(name, bed) {
  let first;
  const began = performance.now();
  const watched = async (url, pid) => {
    const { path, ...request } = kindOf(name) === 'readback' ? { path: '/health/ready' } : pointAsks[name].request(1);
    while (
      !(await fetch(url + path, request).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await sleep(EVERY_MS);
    first = { ms: performance.now() - began, cpu: cpuMs(pid) };
  };
  const variant = await startVariant(name, bed, { watched });
  await variant.stop();
  return first;
}
