import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { UsageError } from './usage.ts';

type Style = Parameters<typeof styleText>[0];

/** Coloured on a terminal alone, and not where NO_COLOR is set. */
export const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });

/** What a command found, for people or, with --json, for programs. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** What a command is doing: apart from what it found, so that a script can read that. */
export const tell = (line: string): void => void process.stderr.write(`${line}\n`);

/** Asks on the terminal. Without one, or somebody to answer, only --yes is a yes. */
export async function confirmed(question: string, isYes: boolean): Promise<boolean> {
  if (isYes) return true;
  if (!process.stdin.isTTY) throw new UsageError(`${question}\nNobody can be asked here: add --yes to do it.`);
  return /^y(es)?$/i.test((await answered(`${question} [y/N] `)) ?? '');
}

/** What is typed on the terminal; undefined: nothing, or nobody can be asked. */
export async function answered(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await prompt.question(question)).trim() || undefined;
  } finally {
    prompt.close();
  }
}

const BAR = 24;
const LINE_EVERY_MS = 5000;

/** How far something long is: a bar on a terminal, else a line now and then. */
export class Progress {
  #told = Date.now();
  #isDrawn = false;

  at(title: string, done: number, total: number): void {
    if (process.stderr.isTTY) return this.#draw(`${bar(done, total)} ${describe(title, done, total)}`);
    if (Date.now() - this.#told < LINE_EVERY_MS) return;
    this.#told = Date.now();
    tell(describe(title, done, total));
  }

  end(): void {
    if (this.#isDrawn) this.#draw('');
    this.#isDrawn = false;
  }

  #draw(text: string): void {
    this.#isDrawn = true;
    process.stderr.write(`\r\u001b[K${text}`);
  }
}

/** The total is an estimate, and 100 % is for the end. */
const share = (done: number, total: number) => (total > 0 ? Math.min(0.99, done / total) : 0);

function bar(done: number, total: number): string {
  const filled = Math.round(share(done, total) * BAR);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`;
}

function describe(title: string, done: number, total: number): string {
  const percent = total > 0 ? `${Math.floor(share(done, total) * 100)} %, ` : '';
  return `${title}: ${percent}${done.toLocaleString('en')} rows`;
}
