import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Config } from '../boot/config.ts';
import { checkCommand, type CheckFlags } from './check.ts';
import { doctorCommand, type DoctorFlags } from './doctor.ts';
import { addReplicaCommand, dropReplicaCommand, type AddFlags, type DropFlags } from './replica.ts';
import { resetCommand, type ResetFlags } from './reset.ts';
import { statusCommand, type StatusFlags } from './status.ts';
import { verifyCommand, type VerifyFlags } from './verify.ts';

/** Runs a command, and makes an exit code of what it returns: true, all is well; false, it is not. */
export type Run = (command: (config: Config) => Promise<boolean>) => Promise<void>;

const CODES = 'Ends with 0 when all is well, 1 when something was found or failed, 2 when it was called wrongly.';

const help = (...examples: string[]) => `\n${CODES}\n\nExample:\n${examples.map((line) => `  ${line}`).join('\n')}\n`;

const json = () => new Option('--json', 'print one JSON document instead of text').default(false);
const yes = () => new Option('-y, --yes', 'do it without asking').default(false);

function amount(flags: string, description: string, least: number, fallback?: number): Option {
  const parse = (text: string) => {
    if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
    throw new InvalidArgumentError(`It must be a whole number from ${least} on.`);
  };
  const option = new Option(flags, description).argParser(parse);
  return fallback === undefined ? option : option.default(fallback);
}

/** The commands that look after the databases. */
export function addOperatorCommands(program: Command, run: Run): void {
  addCheck(program, run);
  addStatus(program, run);
  addDoctor(program, run);
  addVerify(program, run);
  addReset(program, run);
  addReplicas(program, run);
}

function addCheck(program: Command, run: Run): void {
  program
    .command('check')
    .argument('[urls...]', 'of the primary, then of its replicas; those configured where none is given')
    .description(
      'Say whether a primary and its replicas can carry Readback, what is missing on which side, and who can give it. ' +
        'Changes nothing.',
    )
    .addOption(json())
    .addHelpText('after', help('$ npx readback check   # with PRIMARY_URL and REPLICA_URLS, or their admin URLs'))
    .action((urls: string[], flags: CheckFlags) => run((config) => checkCommand(config, urls, flags)));
}

function addStatus(program: Command, run: Run): void {
  program
    .command('status')
    .description('Show both sides at a glance: positions, lag, slots, tables, change logs, and who is connected.')
    .addOption(json())
    .addOption(amount('--wait-ms <ms>', 'how long to wait for the heartbeat by which the lag is measured', 1, 1000))
    .addHelpText('after', help('$ npx readback status', '$ npx readback status --json | jq .replicas[0].lagMs'))
    .action((flags: StatusFlags) => run((config) => statusCommand(config, flags)));
}

function addDoctor(program: Command, run: Run): void {
  program
    .command('doctor')
    .description('Find out what is wrong with the databases and between them, and what repairs it.')
    .addOption(json())
    .option('--fix', 'do the repairs that lose nothing, asking before each', false)
    .addOption(yes())
    .addOption(amount('--wait-ms <ms>', 'how long to wait for a heartbeat to arrive at each replica', 1, 3000))
    .addOption(amount('--max-wal-bytes <bytes>', 'what a slot may hold of the WAL (default: SLOT_WAL_WARN_BYTES)', 0))
    .addOption(amount('--long-transaction-ms <ms>', 'how long a transaction of the primary may be open', 0, 300_000))
    .addHelpText('after', help('$ npx readback doctor', '$ npx readback doctor --fix --yes'))
    .action((flags: DoctorFlags) => run((config) => doctorCommand(config, flags)));
}

function addVerify(program: Command, run: Run): void {
  program
    .command('verify')
    .argument('[tables...]', 'tables to compare; all that are published where none is named')
    .description('Compare each replica with the primary row by row, while both are in use, and name what differs.')
    .addOption(json())
    .addOption(amount('--chunk-rows <rows>', 'rows to compare at once', 1, 10_000))
    .addOption(amount('--most <rows>', 'differences of one table to name', 1, 100))
    .addOption(amount('--timeout-ms <ms>', 'how long a replica may take to catch up', 1, 30_000))
    .addHelpText('after', help('$ npx readback verify orders'))
    .action((tables: string[], flags: VerifyFlags) => run((config) => verifyCommand(config, tables, flags)));
}

function addReset(program: Command, run: Run): void {
  program
    .command('reset')
    .description(
      'Start over. Of configured databases: drop subscriptions, slots, publication and the schema readback. With none configured: delete the embedded pair.',
    )
    .addOption(json())
    .addOption(yes())
    .option('--tables', 'drop the published tables of configured databases, too', false)
    .addHelpText('after', help('$ npx readback reset', '$ npx readback reset --tables --yes'))
    .action((flags: ResetFlags) => run((config) => resetCommand(config, flags)));
}

function addReplicas(program: Command, run: Run): void {
  const replica = program.command('replica').description('Add a replica, or drop one, on both sides.');
  replica
    .command('add')
    .argument('[url]', 'as in REPLICA_URLS; with a password in it better left out, and given as NEW_REPLICA_URL')
    .description(
      'Set a new replica up: returns when it holds everything, and says how to configure it. Its URL is taken from ' +
        'NEW_REPLICA_URL, or from the file that NEW_REPLICA_URL_FILE names, where it is not given.',
    )
    .addOption(json())
    .option(
      '--admin-url <url>',
      'with a login that may set it up, where that of the URL may not; better given as NEW_REPLICA_ADMIN_URL',
    )
    .addHelpText('after', help('$ npx readback replica add   # with NEW_REPLICA_URL_FILE=/run/secrets/replica-2'))
    .action((url: string | undefined, flags: AddFlags) => run((config) => addReplicaCommand(config, url, flags)));
  replica
    .command('drop')
    .argument('<replica>', 'its name (replica-2), its URL, or its slot')
    .description('Drop the subscription of a replica, and its slot and login on the primary; it may be gone already.')
    .addOption(json())
    .addOption(yes())
    .addHelpText('after', help('$ npx readback replica drop replica-2'))
    .action((which: string, flags: DropFlags) => run((config) => dropReplicaCommand(config, which, flags)));
}
