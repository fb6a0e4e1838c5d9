/** Each variant once in each round, in turn. */
export function* turns(variants, rounds) {
  for (let round = 0; round < rounds; round++)
    for (const name of turned(variants, round, rounds)) yield { round: round + 1, name };
}

/** Another variant begins each round, so that none is always first, or always after the same neighbour. */
function turned(variants, round, rounds) {
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
export const ratio = (ours, theirs) => median(ratios(ours, theirs));
export const ratios = (ours, theirs) => ours.map((value, round) => value / theirs[round]);
