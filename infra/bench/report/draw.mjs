import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import prettier from 'prettier';
import { plainMachine } from './machine.mjs';
import { picture } from './picture.mjs';
import { judged, verdict } from './targets.mjs';
import { ranked, shown } from './table.mjs';

const folder = new URL('../', import.meta.url);
const pathOf = (name) => fileURLToPath(new URL(name, folder));

/** RESULTS.md and its pictures, from what was measured last. */
export async function draw({ questions }, order) {
  mkdirSync(pathOf('pictures'), { recursive: true });
  const asked = order.filter((id) => questions[id]).map((id) => ({ id, ...questions[id] }));
  for (const { id, title, measures } of asked) writeFileSync(pathOf(`pictures/${id}.svg`), picture(title, measures));
  const text = [HEAD, machines(asked), '## To reach', targets(questions), ...asked.map(section)].join('\n\n');
  const file = pathOf('RESULTS.md');
  const options = await prettier.resolveConfig(file);
  writeFileSync(file, await prettier.format(text, { ...options, parser: 'markdown' }));
}

const HEAD = `# Results

Drawn by \`npm run bench\` from \`results.json\`. [METHOD.md](METHOD.md) says what is compared, how, and what is not.
Absolute figures are this machine's; the ratios are what tells.`;

function machines(asked) {
  const texts = [...new Set(asked.map(({ machine }) => plainMachine(machine)))];
  return texts.map((text) => `Measured on ${text}.`).join('\n\n');
}

function targets(questions) {
  const rows = judged(questions).map(
    ({ what, limit, reached, met }) => `| ${what} | ${limit} | ${reached} | ${verdict(met)} |`,
  );
  return ['| what | to reach | reached | |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function section({ id, title, at, rounds, seconds, machine, measures }) {
  const durable = machine.fsync === 'on' ? ', with fsync on' : '';
  const taken = `${at.slice(0, 10)}, ${rounds} round${rounds > 1 ? 's' : ''} of ${seconds} s at most${durable}.`;
  return [`## ${title}`, `![${title}](pictures/${id}.svg)`, taken, ...measures.map(table)].join('\n\n');
}

function table(measure) {
  const rows = ranked(measure).map(
    ({ name, median, rounds }) => `| ${name} | ${shown(median)} | ${rounds.map(shown).join(', ')} |`,
  );
  return [`| ${measure.title} | median | rounds |`, '| --- | ---: | --- |', ...rows].join('\n');
}
