/**
 * Readback beside other servers, on the same fresh databases: npm run bench. METHOD.md tells how, and why.
 *
 *   npm run bench -- [--only QUESTION,…] [--variants NAME,…] [--rounds N] [--seconds N] [--quick] [--draw] [--list]
 */
import { parseArgs } from 'node:util';
import { startBed } from './bed/bed.mjs';
import { questions } from './questions/questions.mjs';
import { describeMachine } from './report/machine.mjs';
import { saveAnswer } from './report/results.mjs';
import { plainTable } from './report/table.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    variants: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    users: { type: 'string', default: '100000' },
    quick: { type: 'boolean', default: false },
  },
});

const started = performance.now();
const say = (line) => console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const seconds = Number(values.seconds ?? (values.quick ? 2 : 4));

let opened;
const bed = async () => (opened ??= await startBed({ users: Number(values.users), say }));

try {
  for (const question of chosen()) {
    say(question.title);
    const wanted = values.variants?.split(',');
    const variants = question.variants.filter((name) => !wanted || wanted.includes(name));
    const measures = await question.run({ bed, variants, rounds, seconds, say, quick: values.quick });
    const machine = await describeMachine(await bed());
    saveAnswer(question.id, {
      title: question.title,
      at: new Date().toISOString(),
      rounds,
      seconds,
      machine,
      measures,
    });
    console.log(`\n${question.title}\n${measures.map(plainTable).join('\n')}\n`);
  }
} finally {
  await opened?.stop();
}

function chosen() {
  const ids = values.only?.split(',') ?? questions.map(({ id }) => id);
  return ids.map((id) => {
    const question = questions.find((each) => each.id === id);
    if (!question) throw new Error(`--only ${id}: expected one of ${questions.map((each) => each.id).join(', ')}`);
    return question;
  });
}
