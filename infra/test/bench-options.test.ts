import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { builtCommit, commitOf } from '../bench/bed/earlier.mjs';
import { readOptions } from '../bench/options.mjs';

const questions = [
  { id: 'point', variants: ['readback', 'floor'], compared: { cpu: 'processor time per request' } },
  { id: 'scaling', variants: ['readback'] },
  { id: 'update', variants: ['readback', 'seed'], compared: { cpu: 'processor time per request' } },
];
const [point, , update] = questions;
const read = (...args: string[]) => readOptions(args, questions);

test('all questions of all servers, unless some are chosen', () => {
  expect(read()).toMatchObject({ questions, variants: ['readback', 'floor', 'seed'], rounds: 3, users: 100_000 });
  expect(read('--only', 'update', '--variants', 'seed,readback', '--rounds=2')).toMatchObject({
    questions: [update],
    variants: ['seed', 'readback'],
    rounds: 2,
  });
  expect(read('--quick', '--seconds', '2')).toMatchObject({ rounds: 1, seconds: 2, users: 10_000 });
});

test('a commit is compared with Readback only, in 15 rounds, where a question can be compared', () => {
  const compared = { variants: ['readback', 'before'], rounds: 15, before: 'HEAD~1', fsync: false };
  expect(read('--before', 'HEAD~1')).toMatchObject({ ...compared, questions: [point, update] });
  expect(read('--before=HEAD~1', '--only', 'update,point', '--fsync', '--rounds', '5')).toMatchObject({
    ...compared,
    questions: [point, update],
    rounds: 5,
    fsync: true,
  });
  expect(read('--before', 'HEAD~1', '--quick')).toMatchObject({ rounds: 1 });
});

test.each([
  [['--only', 'point,pint'], '--only pint: expected some of point, scaling, update'],
  [['--only', 'scaling', '--before', 'HEAD'], '--only scaling: expected with --before some of point, update'],
  [['--before', 'HEAD', '--draw'], '--before and --draw: a comparison is printed, and never drawn'],
  [['--before', 'HEAD', '--variants', 'floor'], '--before and --variants: a commit is compared with Readback'],
  [['--fsync', '--draw'], '--fsync and --draw: databases are not started to draw'],
  [['--before'], "Option '--before <value>' argument missing"],
  [['--variants', 'sede'], '--variants sede: expected some of readback, floor, seed'],
  [['--rounds', '0'], '--rounds 0: expected a whole number from 1'],
  [['--users', 'many'], '--users many: expected a whole number from 1'],
  [['--fast'], "Unknown option '--fast'"],
  [['point'], "Unexpected argument 'point'"],
])('%j is refused in a line', (args, message) => {
  expect(() => read(...args)).toThrow(message);
});

describe('a commit to compare with', () => {
  let from: string;
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', ...args], {
      cwd: from,
      encoding: 'utf8',
    }).trim();
  const into = () => join(from, 'built');

  beforeEach(() => {
    from = mkdtempSync(join(tmpdir(), 'readback-earlier-'));
    git('init', '--quiet');
    mkdirSync(join(from, 'node_modules/some'), { recursive: true });
    writeFileSync(join(from, '.gitignore'), 'node_modules\nbuilt\n');
    writeFileSync(join(from, 'node_modules/some/index.js'), '');
    writeFileSync(join(from, 'package-lock.json'), '{"lockfileVersion":3,"packages":{}}');
  });
  afterEach(() => rmSync(from, { recursive: true }));

  function committed(build: string): string {
    writeFileSync(join(from, 'package.json'), JSON.stringify({ name: 'earlier', scripts: { build } }));
    git('add', '.');
    git('commit', '--quiet', '--message', 'A commit');
    return git('rev-parse', 'HEAD');
  }

  test('is built once, from what was committed, with the packages that are there', async () => {
    const commit = committed('mkdir -p dist/readback && date +%s%N > dist/readback/main.js');
    expect(commitOf('HEAD', from)).toBe(commit);
    writeFileSync(join(from, 'package.json'), 'not what was committed');
    const home = await builtCommit(commit, { from, into: into() });
    const built = () => readFileSync(join(home, 'dist/readback/main.js'), 'utf8');
    const first = built();
    const [theirs, ours] = [home, from].map((folder) => statSync(join(folder, 'node_modules/some/index.js')).ino);
    expect(theirs).toBe(ours);
    expect(await builtCommit(commit, { from, into: into() })).toBe(home);
    expect(built()).toBe(first);
  });

  test('gets packages of its own where it asked for others', async () => {
    const commit = committed('mkdir -p dist/readback && touch dist/readback/main.js');
    writeFileSync(join(from, 'package-lock.json'), '{"lockfileVersion":3,"packages":{"node_modules/other":{}}}');
    const home = await builtCommit(commit, { from, into: into() });
    expect(statSync(join(home, 'node_modules/some'), { throwIfNoEntry: false })).toBeUndefined();
  });

  test('is refused in a line where there is none, or it does not build', async () => {
    expect(() => commitOf('no-such', from)).toThrow(/^expected a commit of this repository, and .* called no-such$/);
    const build = (commit: string) => builtCommit(commit, { from, into: into() });
    await expect(build(committed('exit 3'))).rejects.toThrow(
      /^it cannot be built: npm run build ended with 3; what it printed is in \S+\.log$/,
    );
    await expect(build(committed('true'))).rejects.toThrow(/^its build makes no dist.readback.main.js: it is too old/);
  });
});
