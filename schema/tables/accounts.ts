import type { Sql, Statement } from '../../server/database/connect.ts';
import type { Accounts, Credentials, Found, NewAccount, Standing } from '../../server/database/sql/accounts.ts';
import { split, type Seen, type WithSeen } from '../../server/database/sql/seen.ts';
import { arrayText } from '../../server/declare/kinds.ts';
import { faultsIn } from '../../server/graphql/schema/validate.ts';
import { CreateUserInput } from './users.ts';

/** Either side has it. */
async function standings(sql: Sql, ids: readonly string[]): Promise<Seen<Standing>> {
  const result = await sql<WithSeen<Standing>[]>`
    select s.seen, t.id, t.is_active, t.is_admin, t.token_version from readback.seen() s(seen)
    left join users t on t.id = any(${arrayText(ids)}::uuid[])`;
  return split(result, 'id');
}

/** By username or email, on the primary. */
async function credentials(sql: Sql, login: string): Promise<Found> {
  const [{ account, ...user }] = await sql<[{ account: string } & (Credentials | { id: null })]>`
    select a.account, c.*, readback.seen() as seen from readback.fold(${login}) a(account)
    left join readback.credentials(${login}) c on true`;
  return user.id === null ? { account, user: undefined } : { account: user.id, user };
}

async function credentialsOf(sql: Sql, id: string): Promise<Found> {
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

const renewToken: Accounts['renewToken'] = (sql, token, { keyId, seen, expiresAtMs: until }) => {
  const { id, version, session, generation, expiresAtMs } = token;
  return sql`
    select outcome, key_id, seen, expires_ms as expires_at_ms
    from readback.renew_token(${session}, ${generation}, ${id}, ${version}, ${expiresAtMs}, ${keyId}, ${sql.typed.lsn(seen)}, ${until})`;
};

/** By the rules of the API. */
function accountFaults(account: NewAccount): string[] {
  const faults = faultsIn(Object.assign(new CreateUserInput(), account));
  return [...new Set(faults.flatMap(({ constraints }) => Object.values(constraints ?? {})))];
}

const addAdministrator: Accounts['addAdministrator'] = (sql, { username, email }, passwordHash) => sql`
  insert into users (username, email, password_hash, email_verified, is_admin)
  values (${username}, ${email}, ${passwordHash}, true, true)`;

/** The users of this project. */
export const accounts: Accounts = {
  table: 'users',
  standings,
  standingIn: (id, image) => ({
    id,
    isActive: image['is_active'] === true,
    isAdmin: image['is_admin'] === true,
    tokenVersion: Number(image['token_version']),
  }),
  credentials,
  credentialsOf,
  renewToken,
  faultsIn: accountFaults,
  addAdministrator,
};
