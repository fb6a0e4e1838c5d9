import type { FormattedExecutionResult, GraphQLFormattedError } from 'graphql';
import {
  CloseCode,
  MessageType,
  parseMessage,
  stringifyMessage,
  type Message,
  type SubscribePayload,
} from 'graphql-ws';
import type { Connection } from './connection.ts';

/** It is held as long as the operation lasts, and sent with each of its events. */
const ID_BYTES_MAX = 128;

type Events = AsyncGenerator<FormattedExecutionResult, void>;

/** An operation that may run. */
export interface Begun {
  /** Its answer, or what it sends as long as it lasts. */
  run: () => Promise<FormattedExecutionResult | Events>;
  /** Nobody waits for it any more. */
  abandon: () => void;
}

/** What the server does for a conversation. */
export interface Handlers {
  /** False: the socket is refused, and closes. */
  connect: (connection: Connection, parameters: Record<string, unknown>) => Promise<boolean>;
  /** `underWay`: operations of the socket that have not ended, with this one; `text`: the message that it came in. */
  begin: (
    channel: Channel,
    payload: SubscribePayload,
    underWay: number,
    text: string,
  ) => Promise<Begun | readonly unknown[]>;
  /** The errors that an operation ends with, as its client gets them; `sent` is its document, '' where that is gone. */
  told: (errors: readonly unknown[], sent: string) => GraphQLFormattedError[];
}

/** Where the messages of one operation go: a socket, and the id that its client gave the operation. */
export interface Channel {
  connection: Connection;
  id: string;
}

/**
 * One operation, from its `subscribe` message to its end. The client may complete it while it is being opened, and give
 * its id to another one at once: so what is known of an operation is kept here, and never looked up by its id.
 */
class Underway {
  isWanted = true;
  #stop: (() => void) | undefined;

  /** How it is ended from now on; at once, where nobody wants it any more. */
  stoppedBy(stop: () => void): void {
    this.#stop = stop;
    if (!this.isWanted) stop();
  }

  /** Nothing more of it is sent. */
  drop(): void {
    this.isWanted = false;
    this.#stop?.();
  }
}

/**
 * The server's side of graphql-transport-ws on one socket. It is written here as the server of graphql-ws keeps what it
 * knows of an operation by the client's id alone, also while the operation is being opened: a client that completes one
 * and uses its id again at once got the events of both, and the first one stayed when the socket was gone.
 */
export class Conversation {
  readonly #connection: Connection;
  readonly #handlers: Handlers;
  /** By the client's id: the one that has it now. */
  readonly #wanted = new Map<string, Underway>();
  /** All that have not ended, those that nobody wants any more as well: they hold what they hold until they have. */
  #underWay = 0;
  #isGreeted = false;
  #isAcknowledged = false;

  constructor(connection: Connection, handlers: Handlers) {
    this.#connection = connection;
    this.#handlers = handlers;
    if (connection.protocol === '') connection.close(CloseCode.SubprotocolNotAcceptable, 'Subprotocol not acceptable');
    else connection.onMessage((text) => this.#take(text));
  }

  /** The socket is gone. */
  closed(): void {
    for (const operation of this.#wanted.values()) operation.drop();
    this.#wanted.clear();
  }

  async #take(text: string): Promise<void> {
    const message = readMessage(text);
    switch (message?.type) {
      case MessageType.ConnectionInit:
        return this.#greet(message.payload ?? {});
      case MessageType.Ping:
        return this.#send({ type: MessageType.Pong, ...(message.payload && { payload: message.payload }) });
      case MessageType.Pong:
        return;
      case MessageType.Subscribe:
        return this.#subscribe(message.id, message.payload, text);
      case MessageType.Complete:
        return this.#complete(message.id);
      case MessageType.ConnectionAck:
      case MessageType.Next:
      case MessageType.Error:
      case undefined:
        this.#connection.close(CloseCode.BadRequest, 'Invalid message received');
    }
  }

  async #greet(parameters: Record<string, unknown>): Promise<void> {
    if (this.#isGreeted) {
      return this.#connection.close(CloseCode.TooManyInitialisationRequests, 'Too many initialisation requests');
    }
    this.#isGreeted = true;
    if (!(await this.#handlers.connect(this.#connection, parameters))) return;
    this.#isAcknowledged = true;
    await this.#send({ type: MessageType.ConnectionAck });
  }

  /** Chained rather than awaited: what a subscription was opened with is not held as long as it lasts. */
  #subscribe(id: string, payload: SubscribePayload, text: string): Promise<void> {
    if (!this.#isAcknowledged) return this.#refuse(CloseCode.Unauthorized, 'Unauthorized');
    const bytes = Buffer.byteLength(id);
    if (bytes > ID_BYTES_MAX)
      return this.#refuse(
        CloseCode.BadRequest,
        `An id has ${ID_BYTES_MAX} bytes at most, got ${bytes}: choose a shorter one`,
      );
    if (this.#wanted.has(id)) return this.#refuse(CloseCode.SubscriberAlreadyExists, `Subscriber for ${id} exists`);
    const operation = new Underway();
    this.#wanted.set(id, operation);
    this.#underWay++;
    return this.#open(operation, id, payload, text)
      .then((opened) => opened && this.#answer(operation, id, opened))
      .catch((error: unknown) => this.#fail(operation, id, [error], ''))
      .finally(() => {
        this.#underWay--;
        if (this.#wanted.get(id) === operation) this.#wanted.delete(id);
      });
  }

  async #refuse(code: number, reason: string): Promise<void> {
    this.#connection.close(code, reason.slice(0, 120));
  }

  #complete(id: string): void {
    const operation = this.#wanted.get(id);
    this.#wanted.delete(id);
    operation?.drop();
  }

  /** Undefined: it has ended. */
  async #open(
    operation: Underway,
    id: string,
    payload: SubscribePayload,
    text: string,
  ): Promise<FormattedExecutionResult | Events | undefined> {
    const channel = { connection: this.#connection, id };
    try {
      const begun = await this.#handlers.begin(channel, payload, this.#underWay, text);
      if (!('run' in begun)) {
        await this.#fail(operation, id, begun, payload.query);
        return undefined;
      }
      operation.stoppedBy(begun.abandon);
      return operation.isWanted ? await begun.run() : undefined;
    } catch (error) {
      await this.#fail(operation, id, [error], payload.query);
      return undefined;
    }
  }

  async #answer(operation: Underway, id: string, opened: FormattedExecutionResult | Events): Promise<void> {
    if (Symbol.asyncIterator in opened) await this.#sendEach(operation, id, opened);
    else await this.#sendNext(operation, id, opened);
    if (operation.isWanted) await this.#send({ id, type: MessageType.Complete });
  }

  async #sendEach(operation: Underway, id: string, events: Events): Promise<void> {
    // What it fails with comes out of `next`, too.
    operation.stoppedBy(() => void events.return().catch(() => undefined));
    for (let next = await events.next(); !next.done; next = await events.next()) {
      await this.#sendNext(operation, id, next.value);
    }
  }

  async #sendNext(operation: Underway, id: string, payload: FormattedExecutionResult): Promise<void> {
    if (operation.isWanted) await this.#send({ id, type: MessageType.Next, payload });
  }

  async #fail(operation: Underway, id: string, errors: readonly unknown[], sent: string): Promise<void> {
    if (operation.isWanted)
      await this.#send({ id, type: MessageType.Error, payload: this.#handlers.told(errors, sent) });
  }

  #send(message: Message): Promise<void> {
    return this.#connection.send(stringifyMessage(message));
  }
}

/** Undefined: it is none that anybody sends. */
function readMessage(text: string): Message | undefined {
  try {
    return parseMessage(text);
  } catch {
    return undefined; // whoever sent it is told so
  }
}
