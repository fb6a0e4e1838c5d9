import { median } from './rounds.mjs';

export const shown = (value) =>
  value >= 1000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value.toFixed(value >= 10 ? 1 : 2);

/** Best first: the median, and the rounds it is of. */
export function ranked({ better, variants }) {
  const rows = Object.entries(variants).map(([name, rounds]) => ({ name, rounds, median: median(rounds) }));
  return rows.toSorted((a, b) => (better === 'more' ? b.median - a.median : a.median - b.median));
}

export function plainTable(measure) {
  const rows = ranked(measure);
  const width = Math.max(...rows.map(({ name }) => name.length));
  const lines = rows.map(
    ({ name, rounds, median: middle }) =>
      `  ${name.padEnd(width)}  ${shown(middle).padStart(9)}   (${rounds.map(shown).join(', ')})`,
  );
  return [`${measure.title}, ${measure.better} is better: median (rounds)`, ...lines].join('\n');
}
