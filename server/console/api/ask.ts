import { authorization, noteRefusal, token } from '../sign-in.tsx';
import { textOf, type Document } from './document.ts';
import { exactly } from './json.ts';
import { now } from './time.ts';

/** The server's answer was an error: what it says is for people to read. */
export class Refusal extends Error {
  readonly code: string;
  readonly field: string | undefined;

  constructor(message: string, code: string, field?: string) {
    super(message);
    this.code = code;
    this.field = field;
  }
}

/** What was asked for, which server has answered, and how long that took. */
export interface Answer<Data> {
  data: Data;
  source: string | undefined;
  tookMs: number;
}

interface Body<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string; field?: string } }[];
  extensions?: { readback?: { source?: string } };
}

/** @throws Refusal */
export async function ask<Data, Variables>(document: Document<Data, Variables>, variables: Variables): Promise<Data> {
  return (await answer(document, variables)).data;
}

/** A query or a mutation. The bookmark goes along in a cookie, so what was written is read. @throws Refusal */
export async function answer<Data, Variables>(
  document: Document<Data, Variables>,
  variables: Variables,
): Promise<Answer<Data>> {
  const asked = token.value;
  const sentAt = now();
  const { data, errors, extensions } = await post<Data>({ query: textOf(document), variables });
  const error = errors?.[0];
  if (!error) return { data: data!, source: extensions?.readback?.source, tookMs: now() - sentAt };
  const { code = 'INTERNAL_SERVER_ERROR', field } = error.extensions ?? {};
  noteRefusal(code, error.message, asked);
  throw new Refusal(error.message, code, field);
}

async function post<Data>(body: object): Promise<Body<Data>> {
  try {
    const headers = { 'content-type': 'application/json', ...authorization() };
    const response = await fetch('/graphql', { method: 'POST', headers, body: JSON.stringify(body) });
    return JSON.parse(await response.text(), exactly) as Body<Data>;
  } catch {
    throw new Refusal('The server cannot be reached.', 'OFFLINE');
  }
}
