import { randomBytes } from 'node:crypto';
import type { Sql, Statement } from '../db/connect.ts';
import { uuidArray } from '../db/connect.ts';
import type { Lsn } from '../lib/lsn.ts';
import { split, type Seen, type WithSeen } from './seen.ts';

/** What says whether a user's tokens are good, and what they may. */
export interface Standing {
  id: string;
  isActive: boolean;
  isAdmin: boolean;
  tokenVersion: number;
}

/** Either side has it. */
export async function standings(sql: Sql, ids: readonly string[]): Promise<Seen<Standing>> {
  const result = await sql<WithSeen<Standing>[]>`
    select s.seen, t.id, t.is_active, t.is_admin, t.token_version from readback.seen() s(seen)
    left join users t on t.id = any(${uuidArray(ids)}::uuid[])`;
  return split(result, 'id');
}

export interface Credentials extends Standing {
  passwordHash: string;
  /** At or after everything that this statement saw. */
  seen: Lsn;
}

export interface Found {
  /** The same for whatever means one account: its id or, where there is none, what the login comes to. */
  account: string;
  user: Credentials | undefined;
}

/** By username or email, on the primary. */
export async function credentials(sql: Sql, login: string): Promise<Found> {
  const [{ account, ...user }] = await sql<[{ account: string } & (Credentials | { id: null })]>`
    select a.account, c.*, readback.seen() as seen from readback.fold(${login}) a(account)
    left join readback.credentials(${login}) c on true`;
  return user.id === null ? { account, user: undefined } : { account: user.id, user };
}

export async function credentialsOf(sql: Sql, id: string): Promise<Found> {
  const [user] = await sql<Credentials[]>`select c.*, readback.seen() as seen from readback.credentials_of(${id}) c`;
  return { account: id, user };
}

/** A hash that was read and then replaced by somebody else is not replaced again: no row then. */
export function changePassword(sql: Sql, { id, tokenVersion }: Standing, hash: string): Statement<Standing> {
  return sql<Standing[]>`
    update users set password_hash = ${hash} where id = ${id} and token_version = ${tokenVersion}
    returning id, is_active, is_admin, token_version`;
}

/** Ends all tokens given out so far. */
export function endTokens(sql: Sql, id: string): Statement<{ id: string }> {
  return sql<{ id: string }[]>`update users set token_version = token_version + 1 where id = ${id} returning id`;
}

export interface SigningKey {
  id: string;
  secret: Uint8Array;
  /** By the primary's clock. */
  ageMs: number;
}

const SECRET_BYTES = 32;

/** The newest first. One that is not read in full would be guessed. */
export async function signingKeys(sql: Sql): Promise<SigningKey[]> {
  const rows = await sql<{ id: string; hex: string; bytes: number; ageMs: number }[]>`
    select id, encode(secret, 'hex') as hex, octet_length(secret) as bytes,
           (extract(epoch from clock_timestamp() - created_at) * 1000)::float8 as age_ms
    from readback.signing_keys order by created_at desc, id`;
  return rows.map(({ id, hex, bytes, ageMs }) => {
    const secret = Buffer.from(hex, 'hex');
    if (secret.length === bytes && bytes >= SECRET_BYTES) return { id, secret, ageMs };
    throw new Error(`the signing key ${id} has ${bytes} bytes, and ${secret.length} of them were read: 32 are needed`);
  });
}

export async function addSigningKey(sql: Sql): Promise<SigningKey> {
  const secret = randomBytes(SECRET_BYTES);
  const [row] = await sql<[{ id: string }]>`
    insert into readback.signing_keys (secret) values (decode(${secret.toString('hex')}, 'hex')) returning id`;
  return { id: row.id, secret, ageMs: 0 };
}

export function removeSigningKeys(sql: Sql, olderThanMs: number): Statement<{ id: string }> {
  return sql<{ id: string }[]>`
    delete from readback.signing_keys where created_at < clock_timestamp() - ${olderThanMs} * interval '1 millisecond' returning id`;
}

/** Needs more than readback_writer: the server itself makes no administrators. */
export function insertAdministrator(
  sql: Sql,
  { username, email, passwordHash }: { username: string; email: string; passwordHash: string },
): Statement<{ id: string }> {
  return sql<{ id: string }[]>`
    insert into users (username, email, password_hash, email_verified, is_admin)
    values (${username}, ${email}, ${passwordHash}, true, true) returning id`;
}
