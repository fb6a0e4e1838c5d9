import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PublicSchema } from './list.ts';

/** A database, as far as it is needed here. */
interface Database {
  unsafe: (sql: string) => PromiseLike<unknown>;
}

/** Extensions that embedded PostgreSQL lacks, and what stands for their types. */
const STANDS_FOR: readonly [RegExp, string][] = [
  [/\b(?:public\.|extensions\.)?(?:half)?vector\s*\(\d+\)/gi, 'double precision[]'],
  [/\b(?:public\.)?geometry\(\w+,\s*\d+\)/gi, 'polygon'],
  [/\bconcurrently\b/gi, ''],
];

/** Comments, texts, quoted names and bodies of functions may have a semicolon that ends no statement. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|[eE]'(?:\\[\s\S]|[^'\\]|'')*'|'(?:[^']|'')*'|"[^"]*"|(\$\w*\$)[\s\S]*?\1|;|\bbegin\s+atomic\b[\s\S]*?\bend\s*(?=;)/gi;

function statementsOf(sql: string): string[] {
  const statements: string[] = [];
  let start = 0;
  for (const { 0: token, index } of sql.matchAll(TOKEN)) {
    if (token !== ';') continue;
    statements.push(sql.slice(start, index));
    start = index + 1;
  }
  return [...statements, sql.slice(start)].map((one) => one.trim()).filter((one) => one !== '');
}

const folderOf = (folder: string, { repository }: PublicSchema) => join(folder, repository.replace('/', '+'));

export const isThere = (folder: string, schema: PublicSchema) =>
  schema.paths.every((path) => existsSync(join(folderOf(folder, schema), path)));

/** The schema's files, without what is psql's own: its commands, and the data that follow COPY. */
function scriptsOf(folder: string, schema: PublicSchema): string[] {
  const files = schema.paths.flatMap((path) => {
    const full = join(folderOf(folder, schema), path);
    if (!statSync(full).isDirectory()) return [full];
    const inside = readdirSync(full, { recursive: true, encoding: 'utf8' }).map((name) => join(full, name));
    return inside
      .filter((name) => name.endsWith('.sql') && statSync(name).isFile() && (schema.only?.test(name) ?? true))
      .toSorted();
  });
  return files.map((file) => {
    const plain = readFileSync(file, 'utf8').replace(/^\\.*$/gm, '');
    return STANDS_FOR.reduce((sql, [from, to]) => sql.replace(from, to), plain);
  });
}

/** Runs the schema's statements one by one. Returns those that failed, each with why. */
export async function load(folder: string, schema: PublicSchema, sql: Database): Promise<string[]> {
  if (schema.before !== undefined) await sql.unsafe(schema.before);
  let left = scriptsOf(folder, schema).flatMap(statementsOf);
  let failed: { statement: string; message: string }[] = [];
  for (let before = Infinity; left.length < before;) {
    before = left.length;
    failed = [];
    for (const statement of left) {
      if (/^(?:drop|create)\s+database\b|^set\s+transaction_timeout\b/i.test(withoutComments(statement))) continue;
      try {
        await sql.unsafe(statement);
      } catch (error) {
        failed.push({ statement, message: String(error) });
      }
    }
    if (!schema.isUnordered) break;
    left = failed.map(({ statement }) => statement);
  }
  await sql.unsafe('reset search_path');
  return failed.map(
    ({ statement, message }) => `${message}: ${withoutComments(statement).replace(/\s+/g, ' ').slice(0, 90)}`,
  );
}

const withoutComments = (statement: string) => statement.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, '').trim();
