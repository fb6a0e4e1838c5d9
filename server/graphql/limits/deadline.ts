import { ClientError } from '../../lib/errors.ts';

/** Ends what an operation has under way, when its time is over or nobody waits for it any more. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #ms: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  start(): void {
    this.#timer ??= setTimeout(() => this.#controller.abort(timedOut(this.#ms)), this.#ms);
  }

  abandon(): void {
    this.#controller.abort(new ClientError('TIMEOUT', 'Nobody waits for the answer any more.'));
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

const timedOut = (ms: number) =>
  new ClientError('TIMEOUT', `The operation took longer than ${ms} ms, and was ended: ask for less, or try again.`);
