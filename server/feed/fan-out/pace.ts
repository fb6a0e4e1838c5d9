/** Whoever is sent to. */
interface Reader {
  /** Resolves when the client has read all that was sent before, or is gone. */
  read: () => Promise<void>;
}

/** What is sent before anything is known of the client, in bytes; and the least. */
const FIRST = 8192;
/** Slower than this, and less is sent at once the next time. */
const SLOW_MS = 1000;

/**
 * How far a client has got with what it was sent. A socket takes megabytes into the buffers of both ends, whoever reads
 * them: so it is asked by pings, and what was sent and not read stays within a window. That doubles with each answer that
 * comes soon, and is halved by each that does not: who reads nothing costs little.
 */
export class Pace {
  readonly #reader: Reader;
  readonly #most: number;
  readonly #now: () => number;
  #window: number;
  /** Bytes in all: sent, sent before the last question, and read. */
  #sent = 0;
  #asked = 0;
  #read = 0;
  #more: PromiseWithResolvers<void> | undefined;

  constructor(reader: Reader, most: number, now = () => performance.now()) {
    this.#reader = reader;
    this.#most = most;
    this.#now = now;
    this.#window = Math.min(FIRST, most);
  }

  /** Bytes that may be sent. */
  get room(): number {
    return this.#window - (this.#sent - this.#read);
  }

  sent(bytes: number): void {
    this.#sent += bytes;
    this.#ask();
  }

  /** Resolves when there is room. */
  async more(): Promise<void> {
    if (this.room > 0) return;
    await (this.#more ??= Promise.withResolvers()).promise;
  }

  /** At half of the window, so that the next bytes are on their way before the answer is. No room: it was asked. */
  #ask(): void {
    if (this.#sent - this.#asked < this.#window / 2) return;
    const [sent, askedAt] = [this.#sent, this.#now()];
    this.#asked = sent;
    void this.#reader.read().then(() => this.#answered(sent, this.#now() - askedAt));
  }

  #answered(read: number, ms: number): void {
    this.#read = read;
    this.#window =
      ms < SLOW_MS ? Math.min(2 * this.#window, this.#most) : Math.max(this.#window / 2, Math.min(FIRST, this.#most));
    this.#ask(); // a window that was halved may be full
    if (this.room <= 0) return;
    this.#more?.resolve();
    this.#more = undefined;
  }
}
