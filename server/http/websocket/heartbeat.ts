import type { Connection } from './connection.ts';

const BEAT_MS = 1000;
/** A connection is pinged every so many beats, and cut off where it has not answered by then. */
const BEATS = 12;

/** The open connections. One timer pings a part of them at a time: a timer for each costs memory, all at once a stall. */
export class Heartbeat {
  readonly #parts = Array.from({ length: BEATS }, () => new Set<Connection>());
  readonly #timer: NodeJS.Timeout;
  #now = 0;

  constructor(beatMs = BEAT_MS) {
    this.#timer = setInterval(() => this.#beat(), beatMs).unref();
  }

  get all(): Connection[] {
    return this.#parts.flatMap((part) => Array.from(part));
  }

  /** Its turn is the last one. */
  add(connection: Connection): void {
    this.#parts[this.#now]!.add(connection);
  }

  delete(connection: Connection): void {
    for (const part of this.#parts) if (part.delete(connection)) return;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    this.#now = (this.#now + 1) % BEATS;
    for (const connection of this.#parts[this.#now]!) {
      if (!connection.isAlive) connection.terminate();
      connection.isAlive = false;
      connection.ping();
    }
  }
}
