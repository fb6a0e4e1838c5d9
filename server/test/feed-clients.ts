import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** One change, as short as it can be told: operation, key and the marker that its writer gave it. */
export type Told = string;

const QUERY = `subscription ($after: Cursor) { changes(tables: ["users"], after: $after) {
  ... on CaughtUp { cursor }
  ... on UserChange { cursor operation key user { firstName } } } }`;

/** A client that holds nothing but its last cursor, and comes back with it whatever happens to its socket. */
export class ResumingClient {
  readonly told: Told[] = [];
  readonly #url: string;
  #socket: WebSocket | undefined;
  #cursor: string | undefined;
  #stopped = false;
  resumes = 0;
  readonly #ready = Promise.withResolvers<void>();
  #until: { text: string; resolve: () => void } | undefined;

  constructor(url: string) {
    this.#url = `${url.replace('http', 'ws')}/graphql`;
    void this.#run();
  }

  /** Resolves with the first CaughtUp. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when a change whose text ends so was told. */
  reached(text: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.told.at(-1)?.endsWith(text)) resolve();
    this.#until = { text, resolve };
    return promise;
  }

  kill(): void {
    this.#socket?.terminate();
  }

  stop(): void {
    this.#stopped = true;
    this.kill();
  }

  async #run(): Promise<void> {
    for (; !this.#stopped; this.resumes++) {
      await this.#connect();
      await sleep(20);
    }
  }

  #connect(): Promise<void> {
    const socket = new WebSocket(this.#url, 'graphql-transport-ws');
    this.#socket = socket;
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.on('message', (data) => this.#hear(socket, JSON.parse((data as Buffer).toString())));
    socket.on('error', () => {});
    return new Promise((resolve) => socket.on('close', () => resolve()));
  }

  #hear(socket: WebSocket, { type, payload }: { type: string; payload: any }): void {
    if (socket !== this.#socket) return;
    if (type === 'connection_ack') {
      const variables = this.#cursor === undefined ? {} : { after: this.#cursor };
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: QUERY, variables } }));
    } else if (type === 'next') this.#take(payload);
    else if (type === 'error') this.told.push(`ERROR ${JSON.stringify(payload)}`);
  }

  #take({ data, errors }: any): void {
    if (errors) this.told.push(`ERROR ${JSON.stringify(errors)}`);
    const event = data.changes;
    this.#cursor = event.cursor;
    if (!event.operation) return this.#ready.resolve();
    const text = `${event.operation} ${event.key} ${event.user?.firstName ?? ''}`;
    this.told.push(text);
    if (this.#until && text.endsWith(this.#until.text)) this.#until.resolve();
  }
}
