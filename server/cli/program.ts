import { Command } from 'commander';
import { readConfig, type Config } from '../boot/config.ts';
import { addCommand } from './add.ts';
import { adminCreateCommand, type AdminOptions } from './admin.ts';
import { outliveReaders, tellFailure } from './failure.ts';
import { migrateCommand } from './migrate.ts';
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
Columns whose names tell of a password, secret, token or hash always stay on the primary. No database is changed:
look at the files, change what you like, and run what it tells you to.

Example:
  $ npx readback add order_items --without cost
`;

const ADMIN_HELP = `
Example:
  $ npx readback admin create --username ada --email ada@example.com < password.txt
`;

/** `readback COMMAND`: what there is, and what it does. */
export function createProgram(): Command {
  const program = new Command('readback')
    .description('A GraphQL server that makes a PostgreSQL primary and its logical replicas feel like one database.')
    .showHelpAfterError()
    // Commander's own errors are all of usage; what ends with 0 is help that was asked for.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.well : EXIT.usage));
  program
    .command('up', { isDefault: true })
    .description('Set up the databases and serve. With none configured, start an embedded pair (what npm start does).')
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
  program
    .command('migrate')
    .description(
      'Bring the databases up to date and end: apply what is new under sql/, publish, subscribe, and copy tables that ' +
        'are new, while the system is in use. What would break replication is refused, and changes nothing.',
    )
    .addHelpText('after', MIGRATE_HELP)
    .action(() => run((config) => migrateCommand(config, say)));
  program
    .command('add')
    .argument('<table>', 'its name on the primary')
    .description('Write the files that serve a table of the primary: queries, mutations and change events.')
    .option('--without <columns>', 'columns that stay on the primary, comma-separated')
    .option('--one <name>', 'what one row is called, such as orderItem')
    .addHelpText('after', ADD_HELP)
    .action((table: string, { without, one }: { without?: string; one?: string }) =>
      run((config) => addCommand(table, { without: without?.split(',') ?? [], one }, config, say)),
    );
  addOperatorCommands(program, (command) =>
    run(async (config) => {
      if (!(await command(config))) process.exitCode = EXIT.fault;
    }),
  );
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
  return program;
}

/** Each command's failures are told in one way. */
async function run(command: (config: Config) => Promise<void>): Promise<void> {
  outliveReaders();
  try {
    await command(readConfig(process.env));
  } catch (error) {
    process.exitCode = tellFailure(error);
  }
}
