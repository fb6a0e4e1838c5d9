import { fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('subscribers.mjs', import.meta.url));
const PATIENCE_MS = 60_000;

/** Subscribers in a process of their own. `heard` tells how many messages they have had, and the one with fewest. */
export async function gather({ url, headers }, query) {
  const child = fork(program, { serialization: 'advanced' });
  let [answered, failed] = [undefined, undefined];
  child.on('message', (answer) => answered(answer));
  child.once('exit', (code) => failed?.(new Error(`the subscribers' process ended with code ${code}`)));
  const ask = (message) =>
    new Promise((resolve, reject) => {
      [answered, failed] = [resolve, reject];
      child.send(message, (error) => error && reject(error));
    });
  const heard = () => ask('count');
  const open = (many) => ask({ url, headers, query, many });
  const close = () => child.connected && child.disconnect();
  return { open, heard, close };
}

/** Until that is so; a message that never comes is an error, and no figure. */
export async function until(isSo, what) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`${what}: still not so after ${PATIENCE_MS / 1000} s`);
    await sleep(5);
  }
}
