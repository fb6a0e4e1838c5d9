/** Readback beside other servers, on the same fresh databases: npm run bench. METHOD.md tells how, and why. */
import { startBed, stopBeds } from './bed/bed.mjs';
import { stopChildren } from './bed/processes.mjs';
import { readOptions, usage } from './options.mjs';
import { questions } from './questions/questions.mjs';
import { draw } from './report/draw.mjs';
import { describeMachine, plainMachine } from './report/machine.mjs';
import { readResults, saveAnswer } from './report/results.mjs';
import { plainTable } from './report/table.mjs';
import { plainTargets } from './report/targets.mjs';

const options = optionsOrEnd();
const { quick, rounds, seconds, users } = options;

function optionsOrEnd() {
  try {
    return readOptions(process.argv.slice(2), questions);
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

const started = performance.now();
const say = (line) => console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);

let opened;
const bed = async () => (opened ??= await startBed({ users, say }));

function variantsOf({ id, variants }) {
  const left = variants.filter((name) => options.variants.includes(name));
  if (left.length === 0) say(`${id}: none of ${options.variants} answers it, only ${variants.join(', ')}`);
  return left;
}

async function ask(question) {
  const { id, title } = question;
  const variants = variantsOf(question);
  if (variants.length === 0) return;
  say(title);
  const measures = await question.run({ bed, variants, rounds, seconds, quick, say });
  const machine = await describeMachine(await bed());
  console.log(`\n${title}\n${measures.map(plainTable).join('\n')}\n`);
  saveAnswer(id, { title, at: new Date().toISOString(), rounds, seconds, users, machine, measures });
}

/** One that fails leaves its last answer as it was, and the others their turn. */
async function measureAll() {
  try {
    for (const question of options.questions) await ask(question).catch((error) => failed(question, error));
    if (opened) console.log(`Measured on ${plainMachine(await describeMachine(opened))}.\n`);
  } finally {
    await stopAll();
  }
}

let isStopped = false;

function failed({ id }, error) {
  if (isStopped) throw error;
  console.error(`${id} failed, and has no new figures:`, error);
  process.exitCode = 1;
}

async function stopAll() {
  isStopped = true;
  await stopChildren();
  await stopBeds();
}

// What was begun breaks off as its servers go; this process ends first.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => void stopAll().finally(() => process.exit(1)));

if (options.help) {
  console.log(usage);
} else if (options.list) {
  for (const { id, title, variants } of questions) console.log(`${id.padEnd(20)} ${title} (${variants.join(', ')})`);
} else {
  if (!options.draw) await measureAll();
  const results = readResults();
  console.log(plainTargets(results.questions));
  await draw(
    results,
    questions.map(({ id }) => id),
  );
}
