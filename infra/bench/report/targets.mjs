import { median, ratio } from './rounds.mjs';
import { shown } from './table.mjs';

const GRAPHQL = ['apollo-express', 'mercurius', 'yoga', 'postgraphile'];

/**
 * What Readback is to reach. `at least` and `at most` are of the ratio to the other one, round by round; without one, of
 * the figure itself. `best` is the best of several, by its median.
 */
const TARGETS = [
  { question: 'point', measure: 'perSecond', to: ['mercurius'], atLeast: 1 },
  { question: 'point', measure: 'perSecond', to: ['seed'], atLeast: 1.3 },
  { question: 'point', measure: 'perSecond', to: ['floor'], atLeast: 0.85 },
  ...['aliased', 'nested'].flatMap((question) => [
    ...GRAPHQL.map((peer) => ({ question, measure: 'perSecond', to: [peer], atLeast: 2 })),
    { question, measure: 'perSecond', to: GRAPHQL, atLeast: 1 },
  ]),
  { question: 'update', measure: 'perSecond', to: ['seed'], atLeast: 1 },
  { question: 'events', measure: 'above', atMost: 1.5, unit: 'ms' },
  { question: 'fan-out', measure: 'cpu-1000', to: ['broadcast'], atMost: 1.3 },
  { question: 'fan-out', measure: 'cpu-1000', to: ['pubsub'], atMost: 0.25 },
  { question: 'half-peak', measure: 'p99', to: ['seed', ...GRAPHQL], atMost: 1 },
  { question: 'memory', measure: 'idle', atMost: 150, unit: 'MB' },
  { question: 'memory', measure: 'subscriber', atMost: 15, unit: 'KB' },
  { question: 'start', measure: 'ms', atMost: 1000, unit: 'ms' },
];

/** What was aimed at, what was reached, and whether that is enough; without the figures, not measured. */
export const judged = (questions) => TARGETS.map((target) => judge(target, questions));

function judge(target, questions) {
  const { question, to, atLeast, atMost, unit } = target;
  const measure = questions[question]?.measures.find(({ id }) => id === target.measure);
  const ours = measure?.variants.readback;
  const other = to && measure && bestOf(to, measure);
  const what = `${questions[question]?.title ?? question}: ${measure?.title ?? target.measure}`;
  const limit = `${atLeast === undefined ? 'at most' : 'at least'} ${atLeast ?? atMost}${to ? ` × ${to.length > 1 ? 'the best peer' : to[0]}` : ` ${unit}`}`;
  if (!ours || (to && !other)) return { what, limit, reached: 'not measured', met: undefined };
  const value = to ? ratio(ours, measure.variants[other]) : median(ours);
  const met = atLeast === undefined ? value <= atMost : value >= atLeast;
  return { what, limit, reached: to ? `${value.toFixed(2)} × ${other}` : `${shown(value)} ${unit}`, met };
}

function bestOf(names, { better, variants }) {
  const there = names.filter((name) => variants[name]);
  const sign = better === 'more' ? 1 : -1;
  return there.toSorted((a, b) => sign * (median(variants[b]) - median(variants[a])))[0];
}

export function plainTargets(questions) {
  const lines = judged(questions).map(
    ({ what, limit, reached, met }) => `  ${verdict(met).padEnd(13)} ${what}: ${reached} (${limit})`,
  );
  return ['To reach', ...lines].join('\n');
}

export const verdict = (met) => (met === undefined ? 'not measured' : met ? 'met' : 'not met');
