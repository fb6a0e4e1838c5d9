/** Another variant begins each round, so that none is always first, or always behind the same neighbour. */
export function turned(variants, round, rounds) {
  const start = Math.floor((round * variants.length) / rounds);
  const order = [...variants.slice(start), ...variants.slice(0, start)];
  return round % 2 === 0 ? order : order.toReversed();
}

export const quantile = (values, q) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)];

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** Of two variants, round by round: what slows the machine for a while slows both. */
export const ratio = (ours, theirs) => median(ours.map((value, round) => value / theirs[round]));
