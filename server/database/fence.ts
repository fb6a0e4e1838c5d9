import { Connections, type Connection } from './connections.ts';

interface Standing {
  /** As the name of a WAL file begins; null of a standby. */
  timeline: string | null;
}

/**
 * Which of several hosts is the primary. Each new connection is asked before anything else: a standby is refused, and so
 * is a primary of an older timeline than the newest seen, which is one that was replaced and has come back. When a newer
 * timeline shows, the connections to the older one are closed. It remembers for as long as the process lives.
 */
export class Fence extends Connections {
  readonly #outdated: (timelines: { timeline: number; newest: number }) => void;
  readonly #timelines = new Map<Connection, number>();
  #newest = 0;

  constructor(outdated: (timelines: { timeline: number; newest: number }) => void = () => {}) {
    super();
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
    this.#timelines.set(connection, number);
    if (number > this.#newest) this.#advance(number);
    return true;
  }

  override left(connection: Connection): void {
    super.left(connection);
    this.#timelines.delete(connection);
  }

  #advance(newest: number): void {
    this.#newest = newest;
    for (const [connection, timeline] of this.#timelines) if (timeline < newest) connection.leave();
  }
}
