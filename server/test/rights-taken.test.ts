import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UpdateUserDocument } from '../../schema/generated/operations.ts';
import { readBeginning, readConfig, type Config } from '../boot/config.ts';
import { addCommand } from '../cli/add.ts';
import { adminCreateCommand } from '../cli/admin.ts';
import { checkCommand } from '../cli/check.ts';
import { doctorCommand } from '../cli/doctor.ts';
import { initCommand } from '../cli/init.ts';
import { printCommand } from '../cli/migrate.ts';
import { createProgram } from '../cli/program.ts';
import { addReplicaCommand, dropReplicaCommand } from '../cli/replica.ts';
import { resetCommand } from '../cli/reset.ts';
import { statusCommand } from '../cli/status.ts';
import { verifyCommand } from '../cli/verify.ts';
import { projectRoot } from '../lib/root.ts';
import { setUp } from '../setup/setup.ts';
import { variablesOf } from './support/command.ts';
import type { TestDatabases } from './support/databases.ts';
import { ran, type Ran } from './support/in-process.ts';
import { looked, made, migrated, WELL } from './support/managed.ts';
import { manage, type Managed } from './support/models.ts';
import { writeFiles } from './support/project-copy.ts';
import { startServer } from './support/server.ts';
import { ownServers, type OwnServers } from './support/standby.ts';

/** Each right of docs/setup.md is taken from a pair in use, and each command that connects is run without it. */
const SLOW = { timeout: 120_000 };
const quiet = () => {};

type Side = 'primary' | 'replica';

/** How a right is taken, and given back; of several statements all. */
interface Taken {
  take: (side: Side) => string;
  give: (side: Side) => string;
  /** What names it. */
  said: RegExp;
  /** The commands that want it, by the side that it is taken on. */
  refused: Record<Side, readonly string[]>;
}

const SETS_UP = ['check', 'doctor', 'doctor --fix', 'migrate', 'replica add'];
const TAKES_BACK = ['replica drop', 'reset'];
const wantedBy = (primary: readonly string[], replica = primary) => ({ refused: { primary, replica } });
const always = (take: string, give: string, said: RegExp) => ({ take: () => take, give: () => give, said });

const MADE = {
  primary: 'readback_writer, readback_reader, readback_pruner',
  replica: 'readback_reader, readback_pruner',
};

/** By what the table says that it is for. */
const RIGHTS: Record<string, Taken> = {
  'the schema `readback`, and the publication': {
    ...always('alter database :db owner to postgres', 'alter database :db owner to owner', /\(CREATE\)|schema public/),
    ...wantedBy([...SETS_UP, ...TAKES_BACK], SETS_UP),
  },
  "Readback's roles, and the server's logins": {
    ...always('alter role owner nocreaterole', 'alter role owner createrole', /\(CREATEROLE\)|drop the login/),
    ...wantedBy([...SETS_UP, ...TAKES_BACK], SETS_UP),
  },
  "roles that somebody else's set-up has made": {
    take: (side) => `revoke admin option for ${MADE[side]} from owner cascade`,
    give: (side) =>
      `grant ${MADE[side]} to owner with admin true, inherit false, set false; grant ${MADE[side]} to app granted by owner`,
    said: /may not grant readback_/,
    // Without them the login of the server is none any more.
    ...wantedBy(SETS_UP),
  },
  'what an earlier set-up has made': {
    ...always('alter schema readback owner to postgres', 'alter schema readback owner to owner', /schema readback/),
    ...wantedBy([...SETS_UP, ...TAKES_BACK], [...SETS_UP, 'reset', 'status', 'verify', 'migrate --print']),
  },
  'tables that were there': {
    ...always(
      'alter table users owner to postgres',
      'alter table users owner to owner',
      /users|SET ROLE|nothing arrives|catch up/,
    ),
    ...wantedBy(
      ['admin create', ...SETS_UP, ...TAKES_BACK],
      ['doctor', 'doctor --fix', 'migrate', 'replica add', 'reset', 'status', 'verify'],
    ),
  },
  'logins for the replicas, and slots': {
    ...always(
      'alter role owner noreplication',
      'alter role owner replication',
      /may not (make logins that replicate|drop replication slots)/,
    ),
    ...wantedBy([...SETS_UP, ...TAKES_BACK]),
  },
  'the subscription, from PostgreSQL 16 on': {
    ...always('revoke pg_create_subscription from owner', 'grant pg_create_subscription to owner', /may not subscribe/),
    ...wantedBy(SETS_UP),
  },
  'how far it is, and the change log': {
    ...always(
      'revoke execute on function pg_show_replication_origin_status() from owner',
      'grant execute on function pg_show_replication_origin_status() to owner',
      /pg_show_replication_origin_status/,
    ),
    ...wantedBy([...SETS_UP, 'status', 'verify']),
  },
  'a subscription that somebody else has made': {
    ...always(
      'alter subscription readback owner to postgres',
      'alter subscription readback owner to owner',
      /of another owner|belongs to postgres|nothing arrives|did not catch up/,
    ),
    ...wantedBy([...SETS_UP, ...TAKES_BACK, 'status', 'verify']),
  },
};

/** Rows of the tables in the page's part on rights, by what they are for. */
function documented(): { where: string; what: string; statement: string }[] {
  const page = readFileSync(join(projectRoot, 'docs/setup.md'), 'utf8');
  const part = /^## Rights\n([^]*?)^## /m.exec(page)![1]!;
  return [...part.matchAll(/^\| (\w+) +\| (.*?) +\| (.*?) +\|$/gm)]
    .map(([, where, what, statement]) => ({ where: where!, what: what!, statement: statement! }))
    .filter(({ where }) => where !== 'where');
}

const SIDES: Record<string, Side[]> = { both: ['primary', 'replica'], primary: ['primary'], replica: ['replica'] };
const ROWS = documented().flatMap(({ where, ...row }) => SIDES[where]!.map((side) => ({ side, ...row })));
const isOfServer = ({ statement }: { statement: string }) => statement.endsWith(' to app;`');

const FLAGS = { json: false, yes: true };
const DOCTOR = { ...FLAGS, waitMs: 500, longTransactionMs: 300_000 };

/** What each command does here: nobody is asked, and nothing that comes late is waited for. */
const COMMANDS: Record<string, (config: Config, root: string) => Promise<boolean | void>> = {
  'admin create': (config) => {
    const name = `a${performance.now()}`.replace('.', '');
    return adminCreateCommand(
      { username: name, email: `${name}@example.com`, password: 'correct horse' },
      config,
      quiet,
    );
  },
  check: (config) => checkCommand(config, [], FLAGS),
  status: (config) => statusCommand(config, { ...FLAGS, waitMs: 500 }),
  doctor: (config) => doctorCommand(config, { ...DOCTOR, fix: false }),
  'doctor --fix': (config) => doctorCommand(config, { ...DOCTOR, fix: true }),
  verify: (config) => verifyCommand(config, [], { ...FLAGS, chunkRows: 1000, most: 10, timeoutMs: 500 }),
  'migrate --print': (config) => printCommand(config, true),
  migrate: (config) => setUp(config.databases!, config, quiet, undefined, 1000),
  init: (config, root) =>
    initCommand(
      { existing: true, yes: true },
      readBeginning(variablesOf(config.databases!)),
      (line) => process.stdout.write(line),
      root,
    ),
  add: (config, root) => {
    const copy = mkdtempSync(join(root, 'copy-'));
    for (const path of ['schema/project.ts', 'schema/tables'])
      cpSync(join(projectRoot, path), join(copy, path), { recursive: true });
    return addCommand(['visits'], { without: [], send: [], one: undefined }, config, quiet, copy);
  },
  'replica add': (config) => addReplicaCommand(config, undefined, FLAGS),
  'replica drop': (config) => dropReplicaCommand(config, 'replica-1', FLAGS),
  reset: (config) => resetCommand(config, { ...FLAGS, tables: true }),
};

/** They set up as `migrate` does, and then serve. */
const SERVING = ['up', 'serve'];

let servers: OwnServers;
let managed: Managed;
let config: Config;
let root: string;
beforeAll(async () => {
  servers = await ownServers(['primary', 'replica'], { max_sync_workers_per_subscription: '8' });
  const grants = {
    attributes: 'createdb createrole replication',
    roles: ['pg_create_subscription'],
    functions: [SHOW],
  };
  managed = await manage(servers, { name: 'taken', title: 'taken', primary: grants, replica: grants });
  const more = await manage(servers, { name: 'more', title: 'more', primary: grants, replica: grants });
  await more.end();
  await migrated(managed.config);
  await managed.primary`create table visits (id int primary key, path text)`;
  config = readConfig({
    ...variablesOf(managed.config),
    NEW_REPLICA_URL: more.config.replicas[0]!.adminUrl,
    ACCESS: 'open',
    DB_CONNECT_TIMEOUT_MS: '2000',
  });
  root = mkdtempSync(join(tmpdir(), 'readback-rights-'));
  writeFiles(root, {
    'schema/project.ts': 'export const project = {};\n',
    'schema/tables/own.ts':
      "@Table('users')\nexport class User {}\n@Table('posts')\nexport class Post {}\n@Table('visits')\nexport class Visit {}\n",
  });
}, SLOW.timeout);
afterAll(async () => {
  rmSync(root, { recursive: true, force: true });
  await managed?.end();
  await servers?.end();
}, SLOW.timeout);

const SHOW = 'pg_show_replication_origin_status()';
const run = (side: Side, statements: string) => managed[side].unsafe(statements.replaceAll(':db', managed.database));

/** All that a command could leave in part. */
async function state(): Promise<unknown> {
  const roles = [managed.primary, managed.replica].map(
    (sql) => sql`
      select rolname::text as name, rolcanlogin as may_log_in,
             array(select roleid::regrole::text from pg_auth_members where member = r.oid order by 1) as of
      from pg_roles r where rolname !~ '^pg_' order by 1`,
  );
  const subscription = managed.replica`
    select subname::text as name, subenabled as is_enabled, subslotname::text as slot from pg_subscription order by subdbid`;
  return [await made(managed), await Promise.all(roles), await subscription];
}

/** Without the right: refused in a line that names it, with nothing half done, or done as with it. */
function judge(name: string, { said: names }: Taken, isRefused: boolean, { code, said, failure }: Ran): void {
  expect({ name, code, failure }).toEqual({
    name,
    code: isRefused ? 1 : 0,
    failure: isRefused ? expect.any(Array) : [],
  });
  expect(said + failure.join('\n')).not.toMatch(/^ +at |fault of Readback/m);
  if (!isRefused) return;
  expect(said + failure.join()).toMatch(names);
  // A line for each thing that is missing; some lack another by that.
  for (const line of failure) expect(line).toMatch(/^(primary|replica-\d) \(.*\).*[.;]$/);
  expect(failure.length).toBeLessThanOrEqual(2);
}

test('the page lists the rights that are tried, and the program the commands', () => {
  const rights = documented().filter((row) => !isOfServer(row));
  expect(rights.map(({ what }) => what)).toEqual(Object.keys(RIGHTS));
  const names = createProgram().commands.flatMap((one) =>
    one.commands.length === 0 ? one.name() : one.commands.map((part) => `${one.name()} ${part.name()}`),
  );
  const tried = Object.keys(COMMANDS).filter((name) => !name.includes(' --'));
  expect(names.toSorted()).toEqual([...tried, ...SERVING].toSorted());
});

async function each(side: Side, right: Taken): Promise<void> {
  let before = await state();
  for (const [name, command] of Object.entries(COMMANDS)) {
    const isRefused = right.refused[side].includes(name);
    judge(name, right, isRefused, await ran(() => command(config, root)));
    const after = await state();
    if (isRefused || !TAKES_BACK.includes(name)) expect({ name, after }).toEqual({ name, after: before });
    before = after;
  }
}

describe('without a right that set-up needs', SLOW, () => {
  for (const { side, what } of ROWS.filter((row) => !isOfServer(row)))
    test(`every command says so, or does not need it: on the ${side}, ${what}`, SLOW, async () => {
      const right = RIGHTS[what]!;
      await run(side, right.take(side));
      try {
        await each(side, right);
      } finally {
        await run(side, right.give(side));
      }
      const done = TAKES_BACK.filter((name) => !right.refused[side].includes(name));
      expect(done.includes('reset') ? await made(managed) : []).toEqual([]);
      if (done.length > 0) await migrated(managed.config);
    });

  test('in the end all is as it was', SLOW, async () => {
    expect(await looked(managed.config)).toEqual(WELL);
  });
});

const WITHIN = { timeout: 20_000 };
/** Asked for when a slot is to be given up, and by the doctor. */
const UNTOLD = 'giving up a slot, with `SLOT_ACTION=drop`';

/** The commands log in as administrators, and the server alone as its own login. */
describe('without a right that serving needs', SLOW, () => {
  for (const { side, what, statement } of ROWS.filter(isOfServer))
    test(`the server and the doctor say so, and --fix gives it: on the ${side}, ${what}`, SLOW, async () => {
      const role = /grant (\w+) to app/.exec(statement)![1]!;
      await run(side, `revoke ${role} from app granted by owner`);
      const lines: string[] = [];
      const options = { LOG_LEVEL: 'warn', MONITOR_INTERVAL_MS: 50, CHANGE_LOG_PRUNE_MS: 100 } as const;
      const server = await startServer(options, { config: managed.config } as TestDatabases, {
        write: (line) => lines.push(line),
      });
      const written = () =>
        server.failure(UpdateUserDocument, { id: crypto.randomUUID(), input: { firstName: 'Ada' } });
      const isWriting = what !== 'writes, and the heartbeat';
      if (role !== 'readback_reader') expect(await written()).toBe(isWriting ? 'NOT_FOUND id' : 'PRIMARY_UNAVAILABLE');
      if (role === 'readback_reader')
        expect((await server.rest('GET', '/health')).body).toMatchObject({
          status: 'unhealthy',
          message: expect.stringContaining(side === 'primary' ? role : 'replica-1 is down'),
        });
      else if (what !== UNTOLD) await expect.poll(() => lines.join(''), WITHIN).toContain(role);
      const doctor = await ran(() => COMMANDS['doctor']!(config, root));
      expect(doctor).toMatchObject({ code: 1, said: expect.stringContaining(`app may not take on ${role}`) });
      expect(await ran(() => COMMANDS['doctor --fix']!(config, root))).toMatchObject({ code: 0 });
      await expect.poll(async () => (await server.rest('GET', '/health')).body.status, WITHIN).toBe('healthy');
      await server.stop();
    });
});
