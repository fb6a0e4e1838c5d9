import { resolve } from 'node:path';
import { contentsOf, removeContents } from '../../infra/cluster/remove.ts';
import type { Config, DatabaseConfig } from '../boot/config.ts';
import { describeUrl } from '../lib/database-url.ts';
import { SetupError } from '../lib/errors.ts';
import { reset } from '../operate/reset.ts';
import { withServers } from '../setup/servers.ts';
import { confirmed, print, printJson, tell } from './terminal.ts';

export interface ResetFlags {
  json: boolean;
  yes: boolean;
  tables: boolean;
}

/** False: it was not confirmed, and nothing was changed. */
export async function resetCommand(config: Config, flags: ResetFlags): Promise<boolean> {
  const { databases } = config;
  const question = databases ? questionOf(databases, flags) : folderQuestion(config);
  if (question === undefined) return done([`Nothing to delete in ${resolve(config.READBACK_DIR)}.`], flags);
  if (!flags.json) tell(question);
  if (!(await confirmed(databases ? 'Go on?' : 'Delete it?', flags.yes))) return false;
  return done(databases ? await resetDatabases(databases, config, flags) : await removeFolder(config), flags);
}

function done(lines: string[], { json }: ResetFlags): boolean {
  if (json) printJson({ done: lines });
  else print(lines.join('\n'));
  return true;
}

function questionOf({ primary, replicas }: DatabaseConfig, { tables }: ResetFlags): string {
  return [
    'This takes Readback out of these databases:',
    `  primary    ${describeUrl(primary.adminUrl)}`,
    ...replicas.map(({ adminUrl }, index) => `  replica-${index + 1}  ${describeUrl(adminUrl)}`),
    'It drops subscriptions, slots, the publication and the schema readback, with the change log in it.',
    tables ? 'It drops the published tables on all of them, WITH ALL ROWS.' : 'The tables stay, with all rows.',
  ].join('\n');
}

function folderQuestion({ READBACK_DIR }: Config): string | undefined {
  const contents = contentsOf(READBACK_DIR);
  if (contents.length === 0) return undefined;
  return `This deletes the embedded databases, with all rows:\n  ${resolve(READBACK_DIR)}: ${contents.join(', ')}`;
}

async function resetDatabases(databases: DatabaseConfig, config: Config, { tables }: ResetFlags): Promise<string[]> {
  const lines: string[] = [];
  await withServers(databases, config, 'reset', (servers) =>
    reset(servers, { ...config, tables }, (line) => lines.push(line)),
  );
  return lines;
}

async function removeFolder({ READBACK_DIR }: Config): Promise<string[]> {
  const lines: string[] = [];
  await removeContents(READBACK_DIR, (line) => lines.push(line)).catch((error: Error) =>
    Promise.reject(new SetupError(error.message)),
  );
  return [
    ...lines,
    `Deleted the embedded databases in ${resolve(READBACK_DIR)}. The next readback up starts with empty ones.`,
  ];
}
