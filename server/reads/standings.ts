import type { Accounts, Standing } from '../database/sql/accounts.ts';
import { Source } from './batcher.ts';

/** Whether users' tokens are good; null where there is no such user. */
export const standingsOf = ({ standings }: Accounts): Source<string, Standing | null> =>
  new Source(
    'standings by id',
    (id) => id,
    async (sql, ids) => {
      const { rows, seen } = await standings(sql, ids);
      const found = new Map(rows.map((row) => [row.id, row]));
      return { rows: ids.map((id) => found.get(id) ?? null), seen };
    },
    'keys',
  );
