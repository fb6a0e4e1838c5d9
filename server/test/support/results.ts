import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../lib/root.ts';
import { chosenModels } from './models.ts';

/** docs/managed.md says what passed with which rights on which version of PostgreSQL: this holds it to what really did. */
const PAGE = 'docs/managed.md';
const FIRST = '| step ';

/** Of PostgreSQL, as it comes with npm. */
export const VERSION = 18;

/** Writes, reads and events of a step. */
export const COUNT = 50;

/** As docs/managed.md has them. */
export const STEPS = {
  SET_UP: 'set-up, and once more',
  LOOKED: 'doctor, status and verify find nothing',
  SERVED: `${COUNT} writes, ${COUNT} reads from the replica, none stale, ${COUNT} events`,
  GIVEN_UP: 'SLOT_ACTION=drop: the server gives a slot up',
  REPAIRED: 'doctor --fix after a slot is lost',
  AGAIN: 'a replica is dropped, and added again',
  /** Left out where PgBouncer is missing. */
  PGBOUNCER: 'PgBouncer before writes and reads, its three URLs',
  ADD: 'add, of a table that the application owns',
  RESET: 'reset leaves nothing',
  HISTORY: 'history of reads and writes under faults',
  FEED_HISTORY: 'history of changes under kills',
};

/** Steps that have files of their own. */
export const HISTORIES = [STEPS.HISTORY, STEPS.FEED_HISTORY];

/** Of the cells, those that a file of tests tries: what such a cell has, and did not pass, is wrong. */
export type IsTried = (step: string, model: string, version: number) => boolean;

/** `16, 17; words`: the versions on which a step passed, and what else there is to say. */
interface Cell {
  versions: number[];
  words: string;
}

type Table = Map<string, Map<string, Cell>>;

/** The steps that passed, each reported when it has ended. */
export class Results {
  readonly #passed: { step: string; model: string; version: number }[] = [];

  passed(step: string, model: string, version: number): void {
    this.#passed.push({ step, model, version });
  }

  /** The table as it is published, and as it should be: printed where that is otherwise. */
  tables(isTried: IsTried): [published: string, wanted: string] {
    const lines = readFileSync(join(projectRoot, PAGE), 'utf8').split('\n');
    const from = lines.findIndex((line) => line.startsWith(FIRST));
    const rows = lines.slice(from, lines.indexOf('', from));
    const [published, wanted] = [rows.join('\n'), printed(this.#corrected(parsed(rows), isTried)).join('\n')];
    if (published !== wanted) console.log(`The table of ${PAGE} should be:\n\n${wanted}\n`);
    return [published, wanted];
  }

  #corrected(table: Table, isTried: IsTried): Table {
    for (const [step, row] of table)
      for (const [model, cell] of row)
        cell.versions = cell.versions.filter((version) => !isTried(step, model, version));
    for (const { step, model, version } of this.#passed) {
      const row = table.get(step) ?? new Map<string, Cell>();
      const cell = row.get(model) ?? { versions: [], words: '' };
      cell.versions = [...new Set([...cell.versions, version])].toSorted((a, b) => a - b);
      table.set(step, row.set(model, cell));
    }
    return table;
  }
}

/** Of a file that does one step with the chosen models, and whose last test compares. */
export function triedByChosen(done: string): IsTried {
  const titles = chosenModels().map((model) => model?.title);
  return (step, title, version) => step === done && titles.includes(title) && version === VERSION;
}

const cellsOf = (line: string) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

function parsed([head = '', , ...rows]: string[]): Table {
  const [, ...models] = cellsOf(head);
  return new Map(
    rows.map((line) => {
      const [step = '', ...cells] = cellsOf(line);
      return [step, new Map(models.map((model, index) => [model, cellOf(cells[index] ?? '')]))];
    }),
  );
}

function cellOf(text: string): Cell {
  const [, versions = '', words = ''] = /^((?:\d\d(?:, )?)*)(?:; )?(.*)$/.exec(text) ?? [];
  return { versions: (versions.match(/\d\d/g) ?? []).map(Number), words: words === UNTRIED ? '' : words };
}

const UNTRIED = 'not tried';

const shown = ({ versions, words }: Cell = { versions: [], words: '' }) =>
  [versions.join(', '), words].filter((part) => part !== '').join('; ') || UNTRIED;

/** As prettier has it. */
function printed(table: Table): string[] {
  const models = [...new Set([...table.values()].flatMap((row) => [...row.keys()]))];
  const cells = [
    ['step', ...models],
    ...[...table].map(([step, row]) => [step, ...models.map((model) => shown(row.get(model)))]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(3, ...cells.map((row) => [...row[column]!].length)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`);
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [lines[0]!, rule, ...lines.slice(1)];
}
