import { setTimeout as sleep } from 'node:timers/promises';
import { turns } from '../report/rounds.mjs';
import { measure } from './http.mjs';

/** Transactions that wait for the replica, by rows of each. */
const LOADS = { 1: 3000, 10: 1000, 100: 200, 1000: 20 };

/** What it costs a replica to have each commit on its disk before it is confirmed: docs/durability.md. */
export const replicaCommit = {
  id: 'replica-commit',
  title: 'Applying transactions that wait for the replica, by its synchronous_commit',
  variants: ['local', 'off'],
  async run({ bed, variants, rounds, say }) {
    const results = [];
    for (const { round, name } of turns(variants, rounds)) {
      const result = { name };
      for (const [rows, transactions] of Object.entries(LOADS))
        result[`of${rows}`] =
          (transactions / (await appliedIn(await bed('readback'), name, Number(rows), transactions))) * 1000;
      say(
        `replica-commit round ${round}: ${name} ${Object.keys(LOADS)
          .map((rows) => `${Math.round(result[`of${rows}`])} of ${rows}`)
          .join(', ')} rows`,
      );
      results.push(result);
    }
    return Object.keys(LOADS).map((rows) =>
      measure(`of${rows}`, `transactions of ${rows} rows applied a second`, 'more', results),
    );
  },
};

/** Milliseconds from the first of them that is there to the last. */
async function appliedIn({ primary, replica }, commit, rows, transactions) {
  await replica`alter subscription readback disable`;
  await replica.unsafe(`alter subscription readback set (synchronous_commit = ${commit})`);
  const value = crypto.randomUUID();
  const some = await primary`select id from users order by id limit ${rows}`;
  const ids = some.map(({ id }) => id);
  for (let n = 1; n <= transactions; n++)
    await primary`update users set first_name = ${`${value} ${n}`} where id in ${primary(ids)}`;
  await replica`alter subscription readback enable`;
  const at = async () => (await replica`select first_name from users where id = ${ids[0]}`)[0].first_name;
  let first;
  for (let seen = await at(); seen !== `${value} ${transactions}`; seen = await at()) {
    if (first === undefined && seen?.startsWith(value)) first = performance.now();
    await sleep(1);
  }
  return performance.now() - first;
}
