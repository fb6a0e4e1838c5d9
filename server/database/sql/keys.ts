import { randomBytes } from 'node:crypto';
import type { Sql, Statement } from '../connect.ts';

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
