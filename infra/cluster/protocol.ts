/** What the keeper and the process that started it say to each other over the IPC channel. */

export interface ServerSpec {
  name: string;
  /** 0 picks a free port. */
  port: number;
}

export interface ServerUrls {
  /** The superuser `postgres`. */
  adminUrl: string;
  /** The login `readback`, which the migrations create with the password named here. */
  url: string;
}

export interface StartRequest {
  type: 'start';
  /** The folder as the user wrote it, for messages. */
  shown: string;
  servers: ServerSpec[];
  /** The folder of the platform package whose PostgreSQL runs; undefined: the one that is installed. */
  home?: string;
  settings: Record<string, string>;
}

export interface ServerRequest {
  type: 'stopServer' | 'startServer';
  id: number;
  name: string;
}

/** There is no request to stop all: the keeper does that when the channel closes, so that a crash takes the same path. */
export type Request = StartRequest | ServerRequest;

export type Report =
  | { type: 'say'; line: string }
  | { type: 'ready'; urls: Record<string, ServerUrls> }
  | { type: 'refused'; message: string }
  | { type: 'ended'; reason: string }
  | { type: 'done'; id: number; error?: string };

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
