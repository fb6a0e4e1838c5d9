import { parseArgs } from 'node:util';

const string = { type: 'string' };
const boolean = { type: 'boolean', default: false };
const options = {
  only: string,
  variants: string,
  before: string,
  rounds: string,
  seconds: string,
  users: string,
  fsync: boolean,
  quick: boolean,
  draw: boolean,
  list: boolean,
  help: boolean,
};

export const usage = `npm run bench -- [OPTION]…

  --only QUESTION,…   these questions alone; all others keep the figures that they have
  --variants NAME,…   these servers alone
  --before COMMIT     compare Readback with that commit of itself, round by round; changes no published figure
  --rounds N          rounds of each question: 3, with --before 15
  --seconds N         load in each round: 3
  --users N           rows of users to begin with: 100000
  --fsync             databases that wait for the disk; they do not where this is left out
  --quick             one round of one second over 10000 users, to see that all runs
  --draw              measure nothing, and draw RESULTS.md again from results.json
  --list              the questions, with the servers that answer each`;

/** The command line's words, checked. `questions` are those chosen. @throws Error that says what was expected. */
export function readOptions(args, questions) {
  const { values } = parseArgs({ args, options });
  const { quick } = values;
  refuseTogether(values);
  const comparing = values.before !== undefined;
  const known = comparing ? questions.filter(({ compared }) => compared) : questions;
  const ids = known.map(({ id }) => id);
  const chosen = some('only', values, ids, comparing ? ' with --before' : '');
  const names = [...new Set(questions.flatMap(({ variants }) => variants))];
  return {
    ...values,
    variants: comparing ? ['readback', 'before'] : some('variants', values, names),
    // In their own order: what comes later may leave rows that two databases do not share.
    questions: known.filter(({ id }) => chosen.includes(id)),
    rounds: whole('rounds', values, quick ? 1 : comparing ? 15 : 3),
    seconds: whole('seconds', values, quick ? 1 : 3),
    users: whole('users', values, quick ? 10_000 : 100_000),
  };
}

const APART = [
  ['before', 'variants', 'a commit is compared with Readback as it is now, and with nothing else'],
  ['before', 'draw', 'a comparison is printed, and never drawn'],
  ['fsync', 'draw', 'databases are not started to draw'],
];

function refuseTogether(values) {
  for (const [one, other, why] of APART)
    if (values[one] && values[other]) throw new Error(`--${one} and --${other}: ${why}; leave out one of the two`);
}

function whole(name, values, fallback) {
  const value = Number(values[name] ?? fallback);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`--${name} ${values[name]}: expected a whole number from 1`);
}

/** All of them, where the option is not given. */
function some(name, values, known, when = '') {
  const asked = values[name]?.split(',') ?? known;
  const wrong = asked.find((each) => !known.includes(each));
  if (wrong === undefined) return asked;
  throw new Error(`--${name} ${wrong}: expected${when} some of ${known.join(', ')}`);
}
