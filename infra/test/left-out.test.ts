import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { projectRoot } from '../../server/lib/root.ts';
import { PROGRAMS } from '../programs.ts';

const programs = Object.values(PROGRAMS);
const HIDDEN = new Set(programs.flatMap(({ files }) => files));
const VARIABLES = new Set(programs.flatMap(({ variables }) => variables));
/** In each of these files, all tests whose name matches need a program. */
const FILES = ['server/test/poolers.test.ts', 'server/test/tls.test.ts', 'infra/test/console.test.ts'];
const NAMES = 'in a browser|PgBouncer|TLS|sslmode';

/** The folders of the PATH in one, without what the tests can do without. */
function bareFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'readback-bare-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const from of (process.env['PATH'] ?? '').split(delimiter))
    for (const file of filesIn(from)) if (!HIDDEN.has(file)) linkOnce(join(from, file), join(folder, file));
  return folder;
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What comes first on the PATH hides its namesakes. */
function linkOnce(from: string, to: string): void {
  try {
    symlinkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

test(
  'without programs that npm does not bring tests pass, and say what they left out',
  { timeout: 120_000 },
  async () => {
    const kept = Object.entries(process.env).filter(([name]) => !VARIABLES.has(name) && !name.startsWith('VITEST'));
    const vitest = join(projectRoot, 'node_modules/.bin/vitest');
    const { stdout } = await promisify(execFile)(vitest, ['run', '--project', 'postgres', ...FILES, '-t', NAMES], {
      cwd: projectRoot,
      env: { ...Object.fromEntries(kept), PATH: bareFolder(), NO_COLOR: '1' },
      timeout: 100_000,
    });
    const lines = stdout.split('\n').filter((line) => line.startsWith('Left out'));
    expect(lines.map((line) => line.replace(/\d+ tests/g, 'N tests'))).toEqual([
      'Left out, as chromium is missing: N tests of infra/test/console.test.ts. To have it: apt-get install chromium, or set CHROMIUM to the path of a Chromium or Chrome',
      'Left out, as docker is missing: npm run test:containers. To have it: see https://docs.docker.com/engine/install/',
      'Left out, as openssl is missing: N tests of server/test/tls.test.ts. To have it: apt-get install openssl',
      'Left out, as pgbouncer is missing: N tests of server/test/poolers.test.ts. To have it: apt-get install pgbouncer',
    ]);
  },
);
