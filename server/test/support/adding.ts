import { addCommand } from '../../cli/add.ts';
import { testConfig, type TestDatabases } from './databases.ts';
import { PASSWORD } from './people.ts';
import type { CopyServer } from './project-copy.ts';

export const signInAt = async (query: CopyServer, { username }: { username: string }): Promise<string> =>
  (await query(`mutation { signIn(login: "${username}", password: "${PASSWORD}") { token } }`)).signIn.token;

/** What `readback add` says as it writes the files of these tables. */
export async function addTo(
  { config: own }: TestDatabases,
  root: string,
  tables: string | string[],
  without: string[] = [],
): Promise<string[]> {
  const said: string[] = [];
  const config = { ...testConfig(), databases: own };
  await addCommand([tables].flat(), { without, send: [] }, config, (line) => said.push(line), root);
  return said;
}
