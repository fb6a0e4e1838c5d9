import { parseArgs } from 'node:util';

const string = { type: 'string' };
const boolean = { type: 'boolean', default: false };
const options = {
  only: string,
  variants: string,
  rounds: string,
  seconds: string,
  users: string,
  quick: boolean,
  draw: boolean,
  list: boolean,
  help: boolean,
};

export const usage = `npm run bench -- [OPTION]…

  --only QUESTION,…   these questions alone; all others keep the figures that they have
  --variants NAME,…   these servers alone
  --rounds N          rounds of each question: 3
  --seconds N         load in each round: 3
  --users N           rows of users to begin with: 100000
  --quick             one round of one second over 10000 users, to see that all runs
  --draw              measure nothing, and draw RESULTS.md anew from results.json
  --list              the questions, with the servers that answer each`;

/** The command line's words, checked. `questions` are those chosen. @throws Error that says what was expected. */
export function readOptions(args, questions) {
  const { values } = parseArgs({ args, options });
  const { quick } = values;
  const ids = questions.map(({ id }) => id);
  return {
    ...values,
    variants: some('variants', values, [...new Set(questions.flatMap(({ variants }) => variants))]),
    questions: some('only', values, ids).map((id) => questions[ids.indexOf(id)]),
    rounds: whole('rounds', values, quick ? 1 : 3),
    seconds: whole('seconds', values, quick ? 1 : 3),
    users: whole('users', values, quick ? 10_000 : 100_000),
  };
}

function whole(name, values, fallback) {
  const value = Number(values[name] ?? fallback);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`--${name} ${values[name]}: expected a whole number from 1`);
}

/** All of them, where the option is not given. */
function some(name, values, known) {
  const asked = values[name]?.split(',') ?? known;
  const wrong = asked.find((each) => !known.includes(each));
  if (wrong === undefined) return asked;
  throw new Error(`--${name} ${wrong}: expected some of ${known.join(', ')}`);
}
