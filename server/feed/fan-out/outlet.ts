import { Pace } from './pace.ts';

/** A subscription's socket. */
export interface Sink {
  readonly isOpen: boolean;
  /** Bytes that wait to leave. */
  readonly unsent: number;
  /** Whole frames. `left` is called when they have, or when they never will. */
  write: (frames: Buffer, left?: () => void) => void;
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

/** How it ends: what comes before that is the same for all messages of a subscription. */
interface Message {
  readonly tail: Buffer;
}

/** Of Readback: the client may connect again, and go on after its last cursor. */
const TOO_SLOW = 4411;

/** Writes one subscription's messages to its socket, and knows when that is full. */
export class Outlet {
  readonly #sink: Sink;
  readonly #head: string;
  readonly #headBytes: number;
  readonly #options: OutletOptions;
  #drained: Promise<void> | undefined;
  /** While it is sent as fast as the client reads. */
  #pace: Pace | undefined;

  constructor(sink: Sink, id: string, options: OutletOptions) {
    this.#sink = sink;
    this.#head = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
    this.#headBytes = Buffer.byteLength(this.#head);
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
    let [count, bytes] = [0, 0];
    do bytes += frameBytes(this.#headBytes + messages[count++]!.tail.length);
    while (count < messages.length && bytes <= room);
    const frames = this.#frames(messages, count, bytes);
    if (bytes <= room) this.#sink.write(frames);
    else this.#drained = this.#sendLast(frames);
    this.#pace?.sent(bytes);
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

  #frames(messages: readonly Message[], count: number, bytes: number): Buffer {
    const frames = Buffer.allocUnsafe(bytes);
    for (let n = 0, at = 0; n < count; n++) {
      const { tail } = messages[n]!;
      at = writeFrameHead(frames, at, this.#headBytes + tail.length);
      at += frames.write(this.#head, at);
      frames.set(tail, at);
      at += tail.length;
    }
    return frames;
  }

  /** Messages leave in order: when this one has, all have. */
  async #sendLast(frames: Buffer): Promise<void> {
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

const headBytes = (length: number) => (length < IN_TWO ? 2 : length < 2 ** 16 ? 4 : 10);

const frameBytes = (length: number): number => headBytes(length) + length;

/** Returns where the message's bytes go. */
function writeFrameHead(target: Buffer, at: number, length: number): number {
  const bytes = headBytes(length);
  target[at] = FINAL_TEXT;
  target[at + 1] = bytes === 2 ? length : bytes === 4 ? IN_TWO : IN_EIGHT;
  if (bytes === 4) target.writeUInt16BE(length, at + 2);
  if (bytes === 10) target.writeBigUInt64BE(BigInt(length), at + 2);
  return at + bytes;
}
