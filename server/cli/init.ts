import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EXAMPLE, isExample } from '../../infra/example.ts';
import type { Beginning, Config, DatabaseConfig } from '../boot/config.ts';
import { databaseUrlFault, describeUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import type { Say } from '../lib/logger.ts';
import { projectRoot } from '../lib/root.ts';
import { tryOn } from '../setup/migrate.ts';
import { checkRequirements } from '../setup/requirements.ts';
import { withServers, type Servers } from '../setup/servers.ts';
import { servedTables } from './add.ts';
import { obstaclesOf } from './add/define.ts';
import { tablesOf, type Found } from './add/catalog.ts';
import { writeEnvironment } from './add/environment.ts';
import { importersOf, PROJECT, withoutFiles } from './add/register.ts';
import { write } from './add/write.ts';
import { answered, confirmed } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface InitFlags {
  existing?: true;
  url?: string;
  replica?: string;
  yes: boolean;
}

/**
 * Begins a project over a database that is there: takes the example out, writes `.env` and, where that is wanted, the
 * declarations of its tables, and says what `migrate` will do. Changes nothing in the database.
 */
export async function initCommand(flags: InitFlags, given: Beginning, say: Say, root = projectRoot): Promise<void> {
  if (!flags.existing)
    throw new UsageError('Expected --existing, the one way to begin that there is: readback init --existing.');
  const databases = await databasesOf(flags, given);
  const { config } = given;
  const found = await withServers(databases, config, 'init', ({ primary }) => tablesOf(primary.admin, null));
  const fit = found.filter((table) => obstaclesOf(table, { without: [], send: [] }).length === 0);
  say(
    `${describeUrl(databases.primary.url)} has ${amount(found.length, 'table')}, of which ${fit.length} can be served.`,
  );
  await removeExample(flags.yes, say, root);
  writeEnvironment(settingsOf(databases), root, say);
  const served = servedTables(root);
  const left = fit.filter(({ table }) => !served.has(table)).length;
  const question = `Write the declarations of ${amount(left, 'table')} (readback add --all)?`;
  const isWanted = left > 0 && (await confirmed(question, flags.yes));
  if (isWanted) addAll(databases, given, root);
  const isReady = await withServers(databases, config, 'init', (servers) =>
    foretell(servers, found, { config, root, say }),
  );
  const steps = [
    ...(isWanted ? [LOOK] : left > 0 ? [WRITE] : []),
    ...(databases.replicas.length > 0 ? [] : [NO_REPLICA]),
    ...(isReady ? [] : [REPAIR]),
    'npx readback migrate',
    'npm start',
  ];
  say(`\nNext:\n${steps.map((step, index) => `  ${index + 1}. ${step}`).join('\n')}`);
}

const LOOK = 'Look at the files under schema/tables. Where you change one: npm run codegen && npm run check';
const WRITE = 'Write declarations of what is to be served: npx readback add TABLE… && npm run codegen && npm run check';
const NO_REPLICA =
  'Set REPLICA_URLS in .env to an empty database on another PostgreSQL server that has track_commit_timestamp = on.';
const REPAIR = 'Repair what is said above.';

const amount = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

async function databasesOf(
  { url, replica }: InitFlags,
  { primary, replicas, replicationUrl }: Beginning,
): Promise<DatabaseConfig> {
  const named =
    url ?? primary?.url ?? (await answered("The primary's URL (postgres://user:password@host:5432/database): "));
  if (named === undefined)
    throw new UsageError('Expected the URL of your database, and got none: set PRIMARY_URL, or give it by --url.');
  const other =
    replica ??
    (replicas.length > 0 ? undefined : await answered("The replica's URL, an empty database (Enter: later): "));
  for (const text of [named, other ?? '']) {
    const fault = text === '' ? undefined : databaseUrlFault(text);
    if (fault !== undefined) throw new UsageError(`A database's URL ${fault}`);
  }
  return {
    primary: url === undefined && primary ? primary : { url: named, adminUrl: named },
    replicas: other ? [{ url: other, adminUrl: other }] : replicas,
    replicationUrl,
  };
}

/** Open mode, which listens on this machine alone: without accounts nobody could sign in. */
export const settingsOf = ({ primary, replicas, replicationUrl }: DatabaseConfig): Record<string, string> => ({
  PRIMARY_URL: primary.url,
  ...(primary.adminUrl !== primary.url && { PRIMARY_ADMIN_URL: primary.adminUrl }),
  ...(replicas.length > 0 && { REPLICA_URLS: replicas.map(({ url }) => url).join(',') }),
  ...(replicas.some(({ url, adminUrl }) => url !== adminUrl) && {
    REPLICA_ADMIN_URLS: replicas.map(({ adminUrl }) => adminUrl).join(','),
  }),
  ...(replicationUrl !== undefined && { PRIMARY_REPLICATION_URL: replicationUrl }),
  ACCESS: 'open',
});

async function removeExample(isYes: boolean, say: Say, root: string): Promise<void> {
  const list = readFileSync(join(root, PROJECT), 'utf8');
  if (!isExample(list)) return;
  const there = EXAMPLE.filter((path) => existsSync(join(root, path)));
  const classes = there.filter((path) => path.endsWith('.ts'));
  refuseNamed(classes, root);
  if (!(await confirmed(`Delete the example (${there.join(', ')})?`, isYes))) return;
  write({ [PROJECT]: withoutFiles(classes, list) }, root);
  for (const path of there) rmSync(join(root, path));
  say(`removed  ${there.join('\nremoved  ')}\nchanged  ${PROJECT}`);
}

/** @throws SetupError where a declaration of one's own refers to the example's. */
function refuseNamed(classes: readonly string[], root: string): void {
  const referring = importersOf(classes, root).filter((name) => !EXAMPLE.includes(`schema/tables/${name}`));
  if (referring.length > 0)
    throw new SetupError(
      `${referring.join(', ')} in schema/tables refer to the example: take those relations out first.`,
    );
}

/** In a process of its own: this one has the example's types. */
function addAll({ primary, replicas: [replica] }: DatabaseConfig, { environment }: Beginning, root: string): void {
  // It asks the primary alone.
  const env = {
    ...environment,
    PRIMARY_URL: primary.url,
    PRIMARY_ADMIN_URL: primary.adminUrl,
    REPLICA_URLS: replica?.url ?? primary.url,
    REPLICA_ADMIN_URLS: replica?.adminUrl ?? primary.url,
  };
  for (const [program, ...args] of [
    [process.execPath, join(root, 'infra/launch.mjs'), 'add', '--all', '--part-of-init'],
    ['npm', 'run', '--silent', 'codegen'],
  ]) {
    const { status } = spawnSync(program!, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0) throw new SetupError(`${[program, ...args].join(' ')} failed: what it said above tells why.`);
  }
}

interface Telling {
  config: Config;
  root: string;
  say: Say;
}

/** What `migrate` will do, tried on the primary in a transaction that is taken back. False: it is not to be run yet. */
async function foretell(
  { primary, replicas }: Servers,
  found: Found[],
  { config, root, say }: Telling,
): Promise<boolean> {
  try {
    await checkRequirements(primary, replicas, config);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`\nBefore \`npx readback migrate\` there is something to repair:\n${error.message}`);
    return false;
  }
  const { pending, tables, size } = await tryOn(primary, join(root, 'sql'));
  if (pending.length === 0) say('\n`npx readback migrate` finds nothing new for the primary.');
  else
    say(`
\`npx readback migrate\` was tried on the primary, and taken back: nothing is changed there. It will
  on the primary: make the schema readback, the roles readback_writer, readback_reader and readback_pruner, and the
    publication readback of ${tables.length} of its ${amount(found.length, 'table')}; your tables, their triggers and rows stay as they are.
  on the replica: make ${amount(tables.length, 'table')}, and copy their rows, which take ${size}.`);
  return true;
}
