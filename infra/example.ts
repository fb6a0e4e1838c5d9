import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The files that are the example's: a project of one's own begins without them. Tables of the console and of most tests. */
export const EXAMPLE = [
  'schema/tables/accounts.ts',
  'schema/tables/posts.ts',
  'schema/tables/sign-in.ts',
  'schema/tables/users.ts',
  'sql/primary/0002.do.users.sql',
  'sql/primary/0003.do.posts.sql',
  'sql/primary/0010.do.access.sql',
  'sql/primary/0020.do.accounts.sql',
  'sql/replica/0002.do.users.sql',
  'sql/replica/0003.do.posts.sql',
  'sql/replica/0010.do.access.sql',
];

/** By the list of what the project has: a table of somebody's own may be in a file of the same name. */
export const isExample = (list: string) => list.includes("import { SignInResolver } from './tables/sign-in.ts';");

/** Whether the project has these tables and no others: what the tests of Readback itself go by. */
export function isExampleAlone(root: string): boolean {
  const there = ['schema/tables', 'sql/primary', 'sql/replica'].flatMap((folder) => {
    const names = existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : [];
    return names
      .filter((name) => /\.(?:ts|sql)$/.test(name) && !name.endsWith('.test.ts'))
      .map((name) => `${folder}/${name}`);
  });
  return there.length === EXAMPLE.length && there.every((path) => EXAMPLE.includes(path));
}
