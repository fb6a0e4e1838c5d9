import { withoutPosition, type Told } from './told.ts';

/** Shows a time. */
export type Clock = (at: number) => string;

/** Where one side first tells something else than the primary's history. */
export interface Difference {
  /** Which line differs: counted from 0, the same on both sides up to there. */
  index: number;
  /** When that was, as far as anybody knows. */
  at: number | undefined;
  /** One line. */
  what: string;
  /** Where else what is missing is. */
  elsewhere: string[];
}

export function firstDifference(truth: Told, told: Told): Difference | undefined {
  const length = Math.max(truth.lines.length, told.lines.length);
  let index = 0;
  while (index < length && truth.lines[index] === told.lines[index]) index++;
  if (index === length) return undefined;
  return {
    index,
    at: told.times[index] ?? told.times[index - 1],
    what: `${told.name} differs from ${truth.name} at line ${index} of ${told.lines.length}, ${truth.name} has ${truth.lines.length}`,
    elsewhere: whereElse(truth, told, index),
  };
}

/** The lines of one side around a line. */
export function around({ name, lines, times, logs }: Told, index: number, clock: Clock): string[] {
  const from = Math.max(0, index - 3);
  const shown = lines.slice(from, index + 4).map((line, offset) => {
    const [at, log] = [times[from + offset], logs[from + offset]];
    const mark = from + offset === index ? '>' : ' ';
    return [`  ${mark} ${line}`, ...(at === undefined ? [] : [clock(at)]), ...(log === undefined ? [] : [log])].join(
      '  ',
    );
  });
  return [`${name}, from line ${from} on:`, ...(shown.length > 0 ? shown : ['    nothing more'])];
}

/** Where a side is to have the truth's line: after the one before it, wherever it has that. */
export function placeIn(side: Told, truth: Told, index: number): number {
  const before = index === 0 ? -1 : side.lines.indexOf(truth.lines[index - 1]!);
  return before === -1 ? index : before + 1;
}

function indexOfChange({ lines }: Told, wanted: string): number {
  const change = withoutPosition(wanted);
  return lines.findIndex((line) => withoutPosition(line) === change);
}

/** Late, early, or never: by the change alone, as one that is lost gives the next one another position. */
function whereElse(truth: Told, told: Told, index: number): string[] {
  return [[truth, told] as const, [told, truth] as const].flatMap(([has, lacks]) => {
    const line = has.lines[index];
    if (line === undefined) return [];
    const at = indexOfChange(lacks, line);
    return [`what ${has.name} has at line ${index}, ${lacks.name} has ${at === -1 ? 'nowhere' : `at line ${at}`}`];
  });
}
