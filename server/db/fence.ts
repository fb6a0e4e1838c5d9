/** A connection of the driver. */
interface Connection {
  /** Closes it at once; what it has under way fails. */
  leave: () => void;
}

interface Standing {
  /** As the name of a WAL file begins; null of a standby. */
  timeline: string | null;
}

/**
 * Which of several hosts is the primary. Each new connection is asked before anything else: a standby is refused, and so
 * is a primary of an older timeline than the newest seen, which is one that was replaced and has come back. When a newer
 * timeline shows, the connections to the older one are closed. It remembers for as long as the process lives.
 */
export class Fence {
  readonly #outdated: (timelines: { timeline: number; newest: number }) => void;
  readonly #connections = new Map<Connection, number>();
  #newest = 0;

  constructor(outdated: (timelines: { timeline: number; newest: number }) => void = () => {}) {
    this.#outdated = outdated;
  }

  /** What the driver asks. */
  readonly query = `
    select case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) end as timeline`;

  /** The driver's question: is it to be used? */
  admit({ timeline }: Standing, connection: Connection): boolean {
    if (timeline === null) return false;
    const number = parseInt(timeline, 16);
    if (number < this.#newest) {
      this.#outdated({ timeline: number, newest: this.#newest });
      return false;
    }
    this.#connections.set(connection, number);
    if (number > this.#newest) this.#advance(number);
    return true;
  }

  /** It has closed. */
  left(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /** The primary does not answer, or not in time: closes all connections to it, so that the next find out who is. */
  leaveAll(): void {
    for (const connection of this.#connections.keys()) connection.leave();
  }

  #advance(newest: number): void {
    this.#newest = newest;
    for (const [connection, timeline] of this.#connections) if (timeline < newest) connection.leave();
  }
}
