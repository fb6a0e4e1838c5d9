import { setTimeout as sleep } from 'node:timers/promises';
import { turns } from '../report/rounds.mjs';
import { databaseCpuMs } from '../bed/processes.mjs';
import { measure } from './http.mjs';

/** What the change log costs the replica: every user changed in one transaction, applied with the triggers and without. */
export const logCost = {
  id: 'log-cost',
  title: 'Applying a transaction that changes every user, with the change log and without',
  variants: ['readback', 'without the log'],
  compared: { cpu: "replica's processor time per row", ms: 'time until the replica shows it' },
  async run({ bed, variants, rounds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = await applied(await bed(name), name);
      say(`log-cost round ${round}: ${name} ${Math.round(result.ms)} ms`);
      results.push({ name, ...result });
    }
    return [
      measure('ms', 'from the commit until the replica shows it, ms', 'less', results),
      measure('cpu', "replica's processor time a row, µs", 'less', results),
    ];
  },
};

async function applied({ dir, primary, replica, users }, name) {
  if (name === 'without the log') await replica`alter table users disable trigger readback_change`;
  try {
    await replica`vacuum users`;
    const value = crypto.randomUUID();
    const cpu = databaseCpuMs(dir, /replica/);
    await primary`update users set first_name = ${value}`;
    const committed = performance.now();
    while ((await replica`select from users where username = 'reader' and first_name = ${value}`).length === 0)
      await sleep(2);
    const ms = performance.now() - committed;
    return { ms, cpu: ((databaseCpuMs(dir, /replica/) - cpu) * 1000) / users };
  } finally {
    await replica`alter table users enable always trigger readback_change`;
  }
}
