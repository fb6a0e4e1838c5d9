import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { parse as parseEnvironment } from 'dotenv';
import { buildSchema, parse, validate } from 'graphql';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../boot/config.ts';
import { variables } from '../boot/settings.ts';
import { projectRoot } from '../lib/root.ts';
import { encodeBookmark } from '../replication/bookmark.ts';

const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8');
const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);

const docs = readdirSync(join(projectRoot, 'docs')).filter((name) => name.endsWith('.md'));
const pages = ['README.md', 'GUARANTEES.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'].concat(
  docs.map((name) => `docs/${name}`),
);
const example = read('.env.example');
/** The example as it is when somebody uncomments all of it. */
const uncommented = parseEnvironment(example.replace(/^#(?=[A-Z][A-Z0-9_]*=)/gm, ''));

describe('.env.example', () => {
  test('changes nothing when it is copied', () => {
    expect(parseEnvironment(example)).toEqual({});
  });

  test('has every variable once, and no other', () => {
    expect(matches(example, /^#([A-Z][A-Z0-9_]*)=/gm).toSorted()).toEqual(Object.keys(variables.shape).toSorted());
  });

  test('changes nothing when all of it is uncommented', () => {
    expect(readConfig(uncommented)).toEqual(readConfig({}));
  });

  test('says for each variable what leaving it out does', () => {
    const silent = Object.entries(variables.shape).filter(
      ([, { description }]) => !/Left\s+out:/.test(description ?? ''),
    );
    expect(silent).toEqual([]);
  });
});

describe('the pages', () => {
  test('have every error code', () => {
    const codes = matches(read('server/lib/errors.ts'), /^ {2}\| '([A-Z_]+)'/gm);
    expect(codes.length).toBeGreaterThan(10);
    const described = matches(read('docs/errors.md'), /^\| `([A-Z_]+)` +\| \d{3} /gm);
    expect(described.toSorted()).toEqual(codes.toSorted());
  });

  test('name variables that there are', () => {
    const [, section = ''] = read('docs/setup.md').split('\n## Configuration\n');
    const rows = section
      .split('\n## ')[0]!
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => matches(row.split('|')[1]!, /`(\w+)`/g));
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !(name in variables.shape))).toEqual([]);
  });

  test('show operations that the schema takes', () => {
    const schema = buildSchema(read('schema/schema.graphql'));
    const operations = ['README.md', 'docs/rights.md', 'docs/consistency.md', 'docs/change-feed.md'].flatMap((page) =>
      operationsOf(read(page)),
    );
    const faults = operations.flatMap((text) => validate(schema, parse(text)).map((fault) => fault.message));
    expect(operations.length).toBeGreaterThan(6);
    expect(faults).toEqual([]);
  });

  test('compare bookmarks as the server does', () => {
    const code = /^const bytes = .*\nconst later = .*$/m.exec(read('docs/consistency.md'))![0];
    const later = runInNewContext(`${code}; later`, { atob }) as (a: string, b: string) => string;
    const ascending = [1n, 0x3en, 0x3fn, 0xffn, 0x100n, 0xffff_ffffn, 1n << 32n, (1n << 63n) + 5n].map((lsn) =>
      encodeBookmark({ cluster: 7_711_294_962_252_663_706n, timeline: 1 }, lsn),
    );
    for (const [index, bookmark] of ascending.entries()) {
      for (const earlier of ['', ...ascending.slice(0, index + 1)]) {
        expect(later(earlier, bookmark)).toBe(bookmark);
        expect(later(bookmark, earlier)).toBe(bookmark);
      }
    }
  });
});

describe('what the pages name is there:', () => {
  test('npm scripts', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = pages.flatMap((page) =>
      matches(read(page), /\bnpm (?:run )?((?!ci\b|install\b|run\b)[a-z][\w:-]*)/g),
    );
    expect(named).toContain('start');
    expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
  });

  test('commands', () => {
    const named = pages.flatMap((page) => matches(read(page), /\bnpx readback ([a-z]+)/g));
    const files = ['server/cli/program.ts', 'server/cli/operator.ts'];
    const known = files.flatMap((file) => matches(read(file), /\.command\('([a-z]+)'/g));
    expect([...new Set(named)].filter((name) => !known.includes(name))).toEqual([]);
  });

  test('links', () => {
    for (const page of pages) {
      const targets = matches(read(page), /\]\(([^)\s]+)\)/g).filter((target) => !/^[a-z]+:/.test(target));
      const headings = new Set(matches(read(page), /^#+ (.*)$/gm).map(anchorOf));
      const isThere = (target: string) =>
        target.startsWith('#')
          ? headings.has(target.slice(1))
          : existsSync(join(projectRoot, dirname(page), target.split('#')[0]!));
      expect(targets.filter((target) => !isThere(target))).toEqual([]);
    }
  });

  test('tests that hold guarantees', () => {
    const held = [...read('GUARANTEES.md').matchAll(/^- `([\w./-]+\.test\.ts)`: `(.+)`$/gm)];
    expect(held.length).toBeGreaterThan(20);
    const missing = held.filter(([, file, name]) => !namesIn(file!).some((pattern) => pattern.test(name!)));
    expect(missing.map(([line]) => line)).toEqual([]);
  });

  test('a test for every guarantee', () => {
    const [promises = ''] = read('GUARANTEES.md').split('\n## What is not promised\n');
    const unheld = promises
      .split(/\n(?=\*\*)/)
      .filter((part) => part.startsWith('**') && !/^- `.+\.test\.ts`: /m.test(part));
    expect(unheld).toEqual([]);
  });
});

/** GraphQL blocks, and what curl and graphql-ws are shown to send. */
function operationsOf(page: string): string[] {
  const blocks = matches(page, /^```graphql\n([^`]*)```$/gm);
  const posted = matches(page, /"query": ("(?:[^"\\]|\\.)*")/g).map((text) => JSON.parse(text) as string);
  const scripted = matches(page, /const query = [`']([^`']*)[`'];/g);
  const got = matches(page, /'query=([^']*)'/g);
  return [...blocks, ...posted, ...scripted, ...got];
}

const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replace(/ /g, '-');

const CALL = /\b(?:test|it|describe)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;

/** The names of tests and groups in a file, as patterns: what a template fills in may be anything. */
function namesIn(file: string): RegExp[] {
  if (!existsSync(join(projectRoot, file))) return [];
  return [...read(file).matchAll(CALL)].map(([, single, double, template]) => {
    const literal = (single ?? double ?? template)!.replace(/\\(.)/g, '$1');
    const parts = template === undefined ? [literal] : literal.split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map(escape).join('.+')}$`);
  });
}

const escape = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
