/** A connection of the driver. */
export interface Connection {
  /** Closes it at once; what it has under way fails. */
  leave: () => void;
}

/** All connections of the process to one server, as the driver tells of them. */
export class Connections {
  readonly #open = new Set<Connection>();

  /** It is there; whether the server lets it in will show. */
  joined(connection: Connection): void {
    this.#open.add(connection);
  }

  /** It has closed. */
  left(connection: Connection): void {
    this.#open.delete(connection);
  }

  /** The server does not answer, or not in time: closes them all, so that the next ones find out whether it is there. */
  leaveAll(): void {
    for (const connection of this.#open) connection.leave();
  }
}
