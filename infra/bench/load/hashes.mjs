/** The floor of sign-up: argon2 alone, at Readback's parameters and as many at once. Prints how many a second. */
import { hash } from 'argon2';

const [seconds, concurrency] = process.argv.slice(2).map(Number);
const until = performance.now() + seconds * 1000;
let done = 0;

async function worker() {
  for (; performance.now() < until; done++) {
    await hash('correct horse battery', { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  }
}

const started = performance.now();
await Promise.all(Array.from({ length: concurrency }, worker));
console.log(JSON.stringify((done * 1000) / (performance.now() - started)));
