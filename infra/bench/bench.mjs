/** Readback beside other servers, on the same fresh databases: npm run bench. METHOD.md tells how, and why. */
import { postgresql, startBed, stopBeds } from './bed/bed.mjs';
import { builtCommit, commitOf, describeCommit } from './bed/earlier.mjs';
import { stopChildren } from './bed/processes.mjs';
import { readOptions, usage } from './options.mjs';
import { questions } from './questions/questions.mjs';
import { plainCompared } from './report/compared.mjs';
import { draw } from './report/draw.mjs';
import { describeMachine, plainMachine } from './report/machine.mjs';
import { readResults, saveAnswer } from './report/results.mjs';
import { plainTable } from './report/table.mjs';
import { plainTargets } from './report/targets.mjs';

const options = optionsOrEnd();
const { quick, rounds, seconds, users, fsync } = options;
const comparing = options.before !== undefined;

function optionsOrEnd() {
  try {
    return readOptions(process.argv.slice(2), questions);
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

/** The commit that today's code is compared with, in words, and what came of it. */
let earlier;
const compared = [];
const started = performance.now();
const say = (line) => console.log(`${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${line}`);

/** Each code has databases that it has set up itself. */
const beds = {};
let isStopped = false;
const bed = async (name) =>
  name === 'before' ? beds.before : (beds.readback ??= await startBed({ users, fsync, say }));

/** Today's databases first, then those of the commit, before anything is measured: no round differs from the others. */
async function openBefore() {
  try {
    const commit = commitOf(options.before);
    earlier = describeCommit(commit);
    say(`today's code is compared with ${earlier}`);
    const home = await builtCommit(commit, { say });
    await bed();
    beds.before = await startBed({ users, fsync, home, say });
    return true;
  } catch (error) {
    if (isStopped) throw error;
    console.error(`--before ${options.before}: ${error.message}`);
    process.exitCode = 1;
    return false;
  }
}

function variantsOf({ id, variants }) {
  if (comparing) return options.variants;
  const left = variants.filter((name) => options.variants.includes(name));
  if (left.length === 0) say(`${id}: none of ${options.variants} answers it, only ${variants.join(', ')}`);
  return left;
}

async function ask(question) {
  const { id, title } = question;
  const variants = variantsOf(question);
  if (variants.length === 0) return;
  say(title);
  const most = comparing ? rounds : Math.min(rounds, question.mostRounds ?? rounds);
  const measures = await question.run({ bed, variants, rounds: most, seconds, users, quick, fsync, say });
  if (!postgresql) await bed(); // it was answered without databases
  const machine = describeMachine(postgresql);
  console.log(`\n${title}\n${measures.map(plainTable).join('\n')}\n`);
  if (comparing) return printCompared(question, measures);
  saveAnswer(id, { title, at: new Date().toISOString(), rounds, seconds, users, machine, measures });
}

/** After each question, and all of them at the end. */
function printCompared(question, measures) {
  const line = plainCompared(question, measures);
  compared.push(line);
  console.log(`${line}\n`);
}

/** One that fails leaves its last answer as it was, and the others their turn. */
async function measureAll() {
  try {
    if (comparing && !(await openBefore())) return;
    for (const question of options.questions) await ask(question).catch((error) => failed(question, error));
    if (postgresql) console.log(`Measured on ${plainMachine(describeMachine(postgresql))}.\n`);
    if (compared.length > 0) console.log(`Today's code beside ${earlier}:\n${compared.join('\n')}`);
  } finally {
    await stopAll();
  }
}

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
  if (!comparing) await drawAll();
}

async function drawAll() {
  const results = readResults();
  console.log(plainTargets(results.questions));
  await draw(
    results,
    questions.map(({ id }) => id),
  );
}
