import { median, ratios } from './rounds.mjs';

/**
 * What of a question is compared with an earlier commit, in a line: the median of the ratios of the rounds, with the
 * least and the greatest.
 */
export function plainCompared({ id, compared }, measures) {
  const parts = Object.entries(compared).map(([key, what], place) => {
    const { readback, before } = measures.find((measure) => measure.id === key).variants;
    const each = ratios(readback, before);
    const range = `${shown(Math.min(...each))} to ${shown(Math.max(...each))}`;
    if (place > 0) return `${what} ${shown(median(each))} x (${range})`;
    const rounds = `${each.length} paired round${each.length > 1 ? 's' : ''}`;
    return `${what} ${shown(median(each))} x before (median of ${rounds}, ${range})`;
  });
  return `${id}: ${parts.join('; ')}`;
}

const shown = (value) => value.toFixed(2);
