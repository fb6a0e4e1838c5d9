import { setTimeout as sleep } from 'node:timers/promises';
import { turned } from '../report/rounds.mjs';
import { measure } from './http.mjs';

/** What the change log costs the replica: every user changed in one transaction, applied with the triggers and without. */
export const logCost = {
  id: 'log-cost',
  title: 'Applying a transaction that changes every user, with the change log and without',
  variants: ['readback', 'without the log'],
  async run({ bed, variants, rounds, say }) {
    const { primary, replica } = await bed();
    const results = [];
    try {
      for (let round = 0; round < rounds; round++) {
        for (const name of turned(variants, round, rounds)) {
          const ms = await applied(primary, replica, name);
          say(`log-cost round ${round + 1}: ${name} ${Math.round(ms)} ms`);
          results.push({ name, ms });
        }
      }
    } finally {
      await replica`alter table users enable always trigger readback_change`;
    }
    return [measure('ms', 'from the commit until the replica shows it, ms', 'less', results)];
  },
};

async function applied(primary, replica, name) {
  const how = name === 'readback' ? 'enable always' : 'disable';
  await replica.unsafe(`alter table users ${how} trigger readback_change`);
  await replica`vacuum users`;
  const value = crypto.randomUUID();
  await primary`update users set first_name = ${value}`;
  const committed = performance.now();
  while ((await replica`select from users where username = 'reader' and first_name = ${value}`).length === 0)
    await sleep(2);
  return performance.now() - committed;
}
