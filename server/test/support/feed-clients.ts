import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { changeOf, markerOf } from '../checker/told.ts';

const EXAMPLE = `
  ... on CaughtUp { cursor }
  ... on UserChange { cursor operation key user { firstName } }
  ... on PostChange { cursor operation key post { title body } }`;
/** Of tables of other keys, too. */
export const ALL = `${EXAMPLE}
  ... on CounterChange { cursor operation key counter { marker } }
  ... on PairChange { cursor operation key pair { marker } }
  ... on ShardChange { cursor operation key shard { marker } }`;

/** A client that holds nothing but its last cursor, and comes back with it whatever happens to its socket. */
export class ResumingClient {
  /** Each change as `operation key marker`, or the error that a subscription ended with. */
  readonly told: string[] = [];
  /** Of each change; undefined with an error. */
  readonly cursors: (string | undefined)[] = [];
  readonly times: number[] = [];
  /** Sockets that closed; the client comes back after each. */
  resumes = 0;
  readonly #url: string;
  readonly #note: Note;
  readonly #query: string;
  #socket: WebSocket | undefined;
  #cursor: string | undefined;
  #stopped = false;
  readonly #ready = Promise.withResolvers<void>();
  #until: { text: string; resolve: () => void } | undefined;

  constructor(url: string, note: Note = () => {}, told = EXAMPLE) {
    this.#query = `subscription ($after: Cursor) { changes(after: $after) { ${told} } }`;
    this.#url = `${url.replace('http', 'ws')}/graphql`;
    this.#note = note;
    void this.#run();
  }

  /** Resolves with the first CaughtUp. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** The last one that was handed out. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** Whether it was told an error: none is expected of a client that comes back with its last cursor. */
  get hasFailed(): boolean {
    return this.told.at(-1)?.startsWith('ERROR') ?? false;
  }

  /** Resolves when a change whose text ends so was told, or an error. */
  reached(text: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.told.at(-1)?.endsWith(text) || this.hasFailed) resolve();
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
      this.#note('subscribes after', this.#cursor);
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: this.#query, variables } }));
    } else if (type === 'next') this.#take(payload);
    else if (type === 'error') this.#fail(payload);
  }

  #take({ data, errors }: any): void {
    if (errors) return this.#fail(errors);
    const event = data.changes;
    this.#cursor = event.cursor;
    if (!event.operation) return this.#ready.resolve();
    this.#tell(changeOf(event.operation, event.key, markerIn(event)), event.cursor);
  }

  #fail(errors: unknown): void {
    const text = `ERROR ${JSON.stringify(errors)}`;
    this.#note(`is told ${text}, after`, this.#cursor);
    this.#tell(text, undefined);
  }

  #tell(text: string, cursor: string | undefined): void {
    this.told.push(text);
    this.cursors.push(cursor);
    this.times.push(Date.now());
    if (this.#until && (text.endsWith(this.#until.text) || cursor === undefined)) this.#until.resolve();
  }
}

/** Takes note of a moment, with the cursor that it is about. */
type Note = (what: string, cursor?: string) => void;

function markerIn({ user, post, counter, pair, shard }: any): string {
  if (user) return markerOf('users', { first_name: user.firstName });
  return post ? markerOf('posts', post) : ((counter ?? pair ?? shard)?.marker ?? '');
}
