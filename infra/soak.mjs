/**
 * `npm run test:soak -- --minutes N`: the tests that check histories, and those that draw tables and rules, over and over,
 * each time with another seed; in turn without fsync and with it, on a quiet machine and beside two busy processes. Ends
 * when the minutes are over, at the first run that fails, or on Ctrl-C; whatever it started is gone then.
 */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { root } from './launch/child.mjs';

const DEFAULT_MINUTES = 30;
const RUN_MS = 20 * 60_000;
/** What ends by itself when it is told to: PostgreSQL takes up to 20 s. */
const END_MS = 40_000;
const SHOWN_LINES = 300;

/** Seeds and sizes are what a test reads; what is set already stays. */
const TESTS = [
  {
    file: 'server/test/feed-history.test.ts',
    settings: { FEED_CHANGES: '40000', FEED_KILLS: '60' },
    seed: 'FEED_SEED',
    fsync: 'FEED_FSYNC',
  },
  {
    file: 'server/test/history.test.ts',
    settings: { HISTORY_OPERATIONS: '20000' },
    seed: 'HISTORY_SEED',
    fsync: 'HISTORY_FSYNC',
  },
  { file: 'server/test/random-tables.test.ts', settings: {}, seed: 'RANDOM_TABLES_SEED' },
  { file: 'server/test/random-rules.test.ts', settings: {}, seed: 'RANDOM_RULES_SEED' },
];

const started = Date.now();
const children = new Set();
const totals = { runs: 0, kills: 0, changes: 0, operations: 0 };
/** Resolves when this process is told to end. */
const told = Promise.withResolvers();
let isEnding = false;

/** A group of its own: it is ended with all that it has started, and a Ctrl-C comes to it through this process alone. */
function start(file, args, options = {}) {
  const child = spawn(file, args, { cwd: root, detached: true, stdio: 'ignore', ...options });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

function signal(child, name) {
  try {
    process.kill(-child.pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

async function end(child) {
  if (!children.has(child)) return;
  const exit = once(child, 'exit');
  signal(child, 'SIGTERM');
  await Promise.race([exit, sleep(END_MS, undefined, { ref: false })]);
  signal(child, 'SIGKILL');
}

/** Ends by itself, too, when this process is gone. */
const BUSY = 'const parent = process.ppid; while (process.ppid === parent) for (let n = 0; n < 1e7; n++);';
const startBusy = () => start('nice', ['-n', '5', process.execPath, '-e', BUSY]);

/** The environment of the nth run: all combinations in turn. */
function settingsOf(n) {
  const test = TESTS[n % TESTS.length];
  const round = Math.floor(n / TESTS.length);
  const settings = {
    ...test.settings,
    [test.seed]: String(randomInt(2 ** 31)),
    ...(test.fsync && { [test.fsync]: round % 2 === 0 ? 'off' : 'on' }),
  };
  for (const name of Object.keys(settings)) settings[name] = process.env[name] ?? settings[name];
  return { file: test.file, settings, isLoaded: round % 4 >= 2 };
}

async function run(n, folder) {
  const { file, settings, isLoaded } = settingsOf(n);
  const [figures, output] = [join(folder, `${n}.json`), join(folder, `${n}.log`)];
  const command = `${Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')} npm test -- ${file}`;
  console.log(`${stamp()} run ${n + 1}${isLoaded ? ', beside two busy processes' : ''}: ${command}`);
  const busy = isLoaded ? [startBusy(), startBusy()] : [];
  const log = openSync(output, 'w');
  const launcher = [join(root, 'infra/launch.mjs'), '--bin', 'vitest', 'run', file];
  const child = start(process.execPath, launcher, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...settings, SOAK_FIGURES: figures, TMPDIR: folder, NO_COLOR: '1' },
  });
  const exit = once(child, 'exit').then(([code]) => code);
  const code = await Promise.race([exit, told.promise, sleep(RUN_MS, 'late', { ref: false })]);
  await Promise.all([child, ...busy].map(end));
  if (isEnding) return false;
  if (code === 0) return count(figures);
  const lines = readFileSync(output, 'utf8').split('\n');
  console.log(lines.slice(-SHOWN_LINES).join('\n'));
  console.log(code === 'late' ? `The run did not end within ${RUN_MS / 60_000} minutes.` : `The run failed (${code}).`);
  console.log(`Again${isLoaded ? ', on a busy machine' : ''}: ${command}`);
  process.exitCode = 1;
  return false;
}

function count(figures) {
  totals.runs++;
  if (!existsSync(figures)) return true;
  for (const line of readFileSync(figures, 'utf8').trim().split('\n')) {
    const { kills, changes, operations = 0 } = JSON.parse(line);
    totals.kills += Object.values(kills).reduce((sum, times) => sum + times, 0);
    totals.changes += changes;
    totals.operations += operations;
  }
  return true;
}

const seconds = () => Math.round((Date.now() - started) / 1000);
const stamp = () => `[${String(seconds()).padStart(5)} s]`;

/** The servers of tests that were ended stop when they notice it: until then their folder is in use. */
async function serversGone(folder) {
  const running = () =>
    readdirSync(folder)
      .flatMap((test) =>
        ['primary', 'replica-1', 'replica-2'].map((name) => join(folder, test, name, 'postmaster.pid')),
      )
      .filter((file) => existsSync(file))
      .map((file) => Number(readFileSync(file, 'utf8').split('\n')[0]))
      .filter(isThere);
  for (const deadline = Date.now() + END_MS; running().length > 0 && Date.now() < deadline;) await sleep(100);
  for (const pid of running()) process.kill(pid, 'SIGKILL');
}

function isThere(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function minutesOf(args) {
  const { values } = parseArgs({ args, options: { minutes: { type: 'string', default: String(DEFAULT_MINUTES) } } });
  const minutes = Number(values.minutes);
  if (minutes > 0 && minutes <= 24 * 60) return minutes;
  throw new Error(`--minutes: expected a number up to ${24 * 60}, got: ${values.minutes}`);
}

async function soak(minutes) {
  const folder = mkdtempSync(join(tmpdir(), 'readback-soak-'));
  chmodSync(folder, 0o711); // As root, PostgreSQL runs as another user, who must get to its data.
  try {
    for (let n = 0; Date.now() - started < minutes * 60_000 && !isEnding; n++) if (!(await run(n, folder))) break;
  } finally {
    await Promise.all([...children].map(end));
    await serversGone(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
  }
  console.log({ ...totals, seconds: seconds() });
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(name, () => {
    isEnding = true;
    process.exitCode = 130;
    told.resolve();
  });
await soak(minutesOf(process.argv.slice(2)));
