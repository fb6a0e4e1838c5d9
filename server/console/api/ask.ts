import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { authorization, noteRefusal, token } from '../sign-in.tsx';

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

interface Answer<Data> {
  data?: Data | null;
  errors?: { message: string; extensions?: { code?: string; field?: string } }[];
}

/** A query or a mutation. The bookmark goes along in a cookie, so what was written is read. @throws Refusal */
export async function ask<Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const asked = token.value;
  const { data, errors } = await post<Data>({ query: print(document), variables });
  const error = errors?.[0];
  if (!error) return data!;
  const { code = 'INTERNAL_SERVER_ERROR', field } = error.extensions ?? {};
  noteRefusal(code, error.message, asked);
  throw new Refusal(error.message, code, field);
}

async function post<Data>(body: object): Promise<Answer<Data>> {
  try {
    const headers = { 'content-type': 'application/json', ...authorization() };
    const response = await fetch('/graphql', { method: 'POST', headers, body: JSON.stringify(body) });
    return (await response.json()) as Answer<Data>;
  } catch {
    throw new Refusal('The server cannot be reached.', 'OFFLINE');
  }
}
