import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('../results.json', import.meta.url));

/** `questions` has the latest answer to each: one that is asked again alone leaves the others as they were. */
export function readResults() {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { questions: {} };
}

export function saveAnswer(id, answer) {
  const results = readResults();
  results.questions[id] = answer;
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
