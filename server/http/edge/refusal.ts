import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '../../lib/errors.ts';

const END_MS = 1000;

/** The first answer on a connection that no response is made for, and its end. */
export interface Refusal {
  status: number;
  code: ErrorCode | 'BAD_REQUEST';
  message: string;
}

/**
 * Answers on the raw connection, and ends it. A client that has reset it by then is an `error` event, which ends the
 * process where nobody listens; one that does not take the answer has a second.
 */
export function refuse(stream: Duplex, refusal: Refusal): void {
  ignoreErrors(stream);
  if (!stream.writable) return void stream.destroy();
  stream.once('finish', () => stream.destroy());
  stream.end(responseOf(refusal));
  const cut = setTimeout(() => stream.destroy(), END_MS).unref();
  stream.once('close', () => clearTimeout(cut));
}

/** Of a connection that was handed over: from then on nobody else listens. */
export const ignoreErrors = (stream: Duplex) => void stream.on('error', ignore);

const ignore = () => undefined;

function responseOf({ status, code, message }: Refusal): string {
  const body = JSON.stringify({ success: false, message, error: code });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'x-content-type-options: nosniff',
    `x-request-id: ${crypto.randomUUID()}`,
    '',
    body,
  ].join('\r\n');
}
