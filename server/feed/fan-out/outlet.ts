import { Pace } from './pace.ts';

/** A subscription's socket. */
export interface Sink {
  readonly isOpen: boolean;
  /** Bytes that wait to leave. */
  readonly unsent: number;
  /** Whole frames, as bytes. `left` is called when they have, or when they never will. */
  write: (frames: string, left?: () => void) => void;
  /** Resolves when the client has read all that was sent before, or is gone. */
  read: () => Promise<void>;
  /** Closes it after all that was sent. */
  end: (code: number, reason: string) => void;
}

export interface OutletOptions {
  /** A socket with more than this unsent is full, in bytes. */
  bufferBytes: number;
  /** A socket that stays full for so long is closed. */
  slowClientTimeoutMs: number;
  /** Told when that happens. */
  gaveUp: () => void;
}

interface Message {
  /** How it ends, as bytes: what comes before is the same for all messages of a subscription. */
  readonly tail: string;
}

/**
 * The text's UTF-8, one character a byte. A socket writes such a string with no buffer, of which each message would need
 * one: for the memory of those, outside of its heap, Node collects garbage far more often.
 */
export const asBytes = (text: string): string => Buffer.from(text).toString('latin1');

/** Of Readback: the client may connect again, and go on after its last cursor. */
const TOO_SLOW = 4411;

/** Writes one subscription's messages to its socket, and knows when that is full. */
export class Outlet {
  readonly #sink: Sink;
  readonly #head: string;
  readonly #options: OutletOptions;
  #drained: Promise<void> | undefined;
  /** While it is sent as fast as the client reads. */
  #pace: Pace | undefined;

  constructor(sink: Sink, id: string, options: OutletOptions) {
    this.#sink = sink;
    this.#head = asBytes(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
    this.#options = options;
  }

  /** True: what is sent is much, and comes as fast as the client reads. False: as it happens. */
  paced(isPaced: boolean): void {
    this.#pace = isPaced ? new Pace(this.#sink, this.#options.bufferBytes) : undefined;
  }

  /** One at least, in one write: the one that fills the socket is the last. Returns how many. */
  send(messages: readonly Message[]): number {
    if (!this.#sink.isOpen) return messages.length;
    const room = Math.min(this.#options.bufferBytes - this.#sink.unsent, this.#pace?.room ?? Infinity);
    let [frames, count] = ['', 0];
    do frames += this.#frame(messages[count++]!);
    while (count < messages.length && frames.length <= room);
    if (frames.length <= room) this.#sink.write(frames);
    else this.#drained = this.#sendLast(frames);
    this.#pace?.sent(frames.length);
    return count;
  }

  /** Wait for `drained` before the next ones. */
  get isFull(): boolean {
    return this.#drained !== undefined;
  }

  /** Resolves when everything sent so far has left, or was read where it is paced, or the socket is closed. */
  async drained(): Promise<void> {
    await this.#drained;
    this.#drained = undefined;
  }

  #frame({ tail }: Message): string {
    return frameHead(this.#head.length + tail.length) + this.#head + tail;
  }

  /** Messages leave in order: when this one has, all have. */
  async #sendLast(frames: string): Promise<void> {
    const timer = setTimeout(() => this.#giveUp(), this.#options.slowClientTimeoutMs);
    const pace = this.#pace;
    await new Promise<void>((resolve) => this.#sink.write(frames, () => resolve()));
    await pace?.more();
    clearTimeout(timer);
  }

  #giveUp(): void {
    if (!this.#sink.isOpen) return;
    this.#options.gaveUp();
    this.#sink.end(TOO_SLOW, 'Too slow: connect again, and go on after your last cursor');
  }
}

/** RFC 6455, 5.2: a whole message of text in one frame, unmasked, as servers send them. */
const FINAL_TEXT = 0x81;
/** Lengths up to 125 are in the second byte; these say that two or eight bytes have it. */
const [IN_TWO, IN_EIGHT] = [126, 127];

function frameHead(length: number): string {
  if (length < IN_TWO) return String.fromCharCode(FINAL_TEXT, length);
  if (length < 2 ** 16) return String.fromCharCode(FINAL_TEXT, IN_TWO, length >> 8, length & 255);
  const eight = Buffer.alloc(8);
  eight.writeBigUInt64BE(BigInt(length));
  return String.fromCharCode(FINAL_TEXT, IN_EIGHT) + eight.toString('latin1');
}
