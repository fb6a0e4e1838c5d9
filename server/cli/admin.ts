import 'reflect-metadata';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { project } from '../../schema/project.ts';
import type { Config } from '../boot/config.ts';
import { forClient } from '../database/errors.ts';
import { isViolation, told } from '../database/violations.ts';
import { asClientError, SetupError } from '../lib/errors.ts';
import { Hasher } from '../lib/password.ts';
import type { Say } from '../lib/logger.ts';
import { withServers } from '../setup/servers.ts';
import type { Accounts, NewAccount } from '../database/sql/accounts.ts';
import { withDatabases } from './databases.ts';

export interface AdminOptions {
  username?: string;
  email?: string;
  password?: string;
}

/** Makes an administrator on the primary. What is not given is asked for, or read line by line where nobody can be asked. */
export async function adminCreateCommand(options: AdminOptions, config: Config, say: Say): Promise<void> {
  const { accounts } = project;
  if (!accounts)
    throw new SetupError(
      'This project declares no accounts (schema/project.ts): nobody signs in, and nobody administers.',
    );
  const { username, email, password } = checked(accounts, await complete(options));
  const passwordHash = await new Hasher(1, 0).hash(password);
  await withDatabases(config, say, (databases) =>
    withServers(databases, config, 'admin', async ({ primary: { admin } }) => {
      try {
        await accounts.addAdministrator(admin, { username, email }, passwordHash);
      } catch (error) {
        throw isViolation(error) ? new SetupError((await told(error, admin, () => true)).message) : inWords(error);
      }
    }),
  );
  say(`${username} is an administrator.`);
}

/** A value that is none, say, is told as the API tells it. */
function inWords(error: unknown): unknown {
  const told = asClientError(forClient(error, 'PRIMARY'));
  return told && told.code !== 'PRIMARY_UNAVAILABLE' && told.code !== 'TIMEOUT' ? new SetupError(told.message) : error;
}

async function complete(options: AdminOptions): Promise<Required<AdminOptions>> {
  const missing = (['username', 'email', 'password'] as const).filter((name) => options[name] === undefined);
  const answers = missing.length === 0 ? [] : await ask(missing);
  return {
    ...options,
    ...Object.fromEntries(missing.map((name, index) => [name, answers[index] ?? ''])),
  } as Required<AdminOptions>;
}

/** What is typed for a password is not shown. */
async function ask(names: readonly string[]): Promise<string[]> {
  const isTerminal = process.stdin.isTTY === true;
  let isHidden = false;
  const output = new Writable({
    write: (chunk: Buffer, _, done) => {
      if (!isHidden) process.stderr.write(chunk);
      done();
    },
  });
  const lines = createInterface({ input: process.stdin, output, terminal: isTerminal });
  const answers: string[] = [];
  if (!isTerminal) {
    for await (const line of lines) answers.push(line);
    return answers.slice(0, names.length);
  }
  for (const name of names) {
    const asked = lines.question(`${name}: `);
    isHidden = name === 'password';
    answers.push(await asked);
    if (isHidden) process.stderr.write('\n');
    isHidden = false;
  }
  lines.close();
  return answers;
}

function checked(accounts: Accounts, account: Required<AdminOptions>): NewAccount {
  const faults = accounts.faultsIn(account);
  if (faults.length > 0) throw new SetupError(faults.join('\n'));
  return account;
}
