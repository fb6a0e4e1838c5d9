import { Command, Option } from 'commander';
import { readBeginning, readConfig, type Config } from '../boot/config.ts';
import { addCommand, undoCommand } from './add.ts';
import { adminCreateCommand, type AdminOptions } from './admin.ts';
import { outliveReaders, tellFailure } from './failure.ts';
import { initCommand, type InitFlags } from './init.ts';
import { migrateCommand, printCommand } from './migrate.ts';
import { addOperatorCommands } from './operator.ts';
import { serveCommand, upCommand } from './up.ts';
import { EXIT } from './usage.ts';

const say = (line: string) => console.log(line);

const MIGRATE_HELP = `
Ends with 0 when every replica holds everything that is published, with 1 when there is something to repair.
With no databases configured it works on the embedded pair, running or not.

Example:
  $ npx readback migrate
  replica-1: applied 0016 items
  primary: applied 0016 items
  replica-1: copying items, 812,000 of about 1,000,000 rows (81 %)
  Up to date: the primary and the replica.
`;

const ADD_HELP = `
Columns whose names tell of a password, secret, token or hash stay on the primary unless --send names them. No database
is changed: look at the files, change what you like, and run what it tells you to.

Examples:
  $ npx readback add order_items --without cost
  $ npx readback add --all --schema public,sales
  $ npx readback add --undo order_items
`;

const INIT_HELP = `
Example:
  $ npx readback init --existing --url postgres://postgres:secret@localhost:5432/shop --yes
  $ npx readback migrate && npm start
`;

const ADMIN_HELP = `
Example:
  $ npx readback admin create --username ada --email ada@example.com < password.txt
`;

interface AddFlags {
  all?: true;
  schema?: string;
  without?: string;
  send?: string;
  one?: string;
  undo?: true;
  partOfInit?: true;
}

const namesIn = (list: string | undefined) => list?.split(',').map((name) => name.trim()) ?? [];

async function addOrUndo(tables: string[], flags: AddFlags, config: Config): Promise<void> {
  if (flags.undo) for (const table of tables) await undoCommand(table, config, say);
  else {
    const { all = false, one, schema } = flags;
    const choices = { without: namesIn(flags.without), send: namesIn(flags.send), one, partOfInit: flags.partOfInit };
    await addCommand(tables, { ...choices, all, schemas: schema === undefined ? null : namesIn(schema) }, config, say);
  }
}

/** `readback COMMAND`: what there is, and what it does. */
export function createProgram(): Command {
  const program = new Command('readback')
    .description('A GraphQL server that makes a PostgreSQL primary and its logical replicas feel like one database.')
    .showHelpAfterError()
    // Commander's own errors are all of usage; what ends with 0 is help that was asked for.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.well : EXIT.usage));
  program
    .command('up', { isDefault: true })
    .description(
      'Set up the databases and serve. With none configured, start an embedded pair (what npm start does). This runs where no command is given.',
    )
    .addHelpText('after', '\nExample:\n  $ PORT=4000 npx readback up\n')
    // What is no command comes here, too.
    .allowExcessArguments()
    .action((_options: object, { args: [unknown] }: Command) => {
      if (unknown !== undefined) program.error(`error: there is no command '${unknown}'`);
      return run((config) => upCommand(config, say));
    });
  program
    .command('serve')
    .description('Serve over databases that are set up already; change nothing in them.')
    .addHelpText('after', '\nExample:\n  $ PRIMARY_URL=postgres://… REPLICA_URLS=postgres://… npx readback serve\n')
    .action(() => run((config) => serveCommand(config, say)));
  addMigrate(program);
  addTableCommands(program);
  addOperatorCommands(program, (command) =>
    run(async (config) => {
      if (!(await command(config))) process.exitCode = EXIT.fault;
    }),
  );
  addAdmin(program);
  return program;
}

function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description(
      'Bring the databases up to date and end: apply what is new under sql/, publish, subscribe, and copy tables that ' +
        'are new, while the system is in use. What would break replication is refused, and changes nothing.',
    )
    .option('--print [server]', 'print the SQL instead, of all servers or of one, for somebody else to run')
    .addHelpText('after', MIGRATE_HELP)
    .action(({ print }: { print?: string | true }) =>
      run((config) => (print === undefined ? migrateCommand(config, say) : printCommand(config, print))),
    );
}

function addAdmin(program: Command): void {
  program
    .command('admin')
    .description('Administrators, who in protected mode may do everything.')
    .command('create')
    .description('Make an administrator, on the primary. What is not given is asked for, or read from standard input.')
    .option('--username <name>')
    .option('--email <address>')
    .option('--password <text>', 'better left out: others on this machine can see it')
    .addHelpText('after', ADMIN_HELP)
    .action((options: AdminOptions) => run((config) => adminCreateCommand(options, config, say)));
}

/** The commands that write a project's files. */
function addTableCommands(program: Command): void {
  program
    .command('add')
    .argument('[tables...]', 'their names on the primary, such as orders or sales.orders')
    .description('Write the files that serve tables of the primary: queries, mutations and change events.')
    .option('--all', 'all tables that are not served yet; those that cannot be are named')
    .option('--schema <names>', 'with --all: only of these schemas, comma-separated')
    .option('--without <columns>', 'columns that stay on the primary, comma-separated')
    .option('--send <columns>', 'columns that are sent though their names tell of a secret, comma-separated')
    .option('--one <name>', 'what one row is called, such as orderItem')
    .option('--undo', 'take back what was written for the tables')
    .addOption(new Option('--part-of-init', 'what to do next is said by init').hideHelp())
    .addHelpText('after', ADD_HELP)
    .action((tables: string[], options: AddFlags) => run((config) => addOrUndo(tables, options, config)));
  program
    .command('init')
    .description('Begin a project over a database that is there: take the example out, write .env and declarations.')
    .option('--existing', 'a database of yours, as it is: nothing in it is changed')
    .option('--url <url>', "the primary's, with a login that may set it up; left out: PRIMARY_URL")
    .option('--replica <url>', "the replica's, an empty database; left out: REPLICA_URLS")
    .option('-y, --yes', 'do it without asking', false)
    .addHelpText('after', INIT_HELP)
    .action((flags: InitFlags) => run((given) => initCommand(flags, given, say), readBeginning));
}

/** Each command's failures are told in one way. */
async function run(command: (config: Config) => Promise<void>): Promise<void>;
async function run<Given>(
  command: (given: Given) => Promise<void>,
  read: (from: typeof process.env) => Given,
): Promise<void>;
async function run(command: (given: never) => Promise<void>, read: (from: typeof process.env) => unknown = readConfig) {
  outliveReaders();
  try {
    await command(read(process.env) as never);
  } catch (error) {
    process.exitCode = tellFailure(error);
  }
}
