/** The statements of the peers that are written by hand: reads on the replica, writes on the primary. */
import postgres from 'postgres';

const max = Number(process.env.POOL_SIZE);
export const replica = postgres(process.env.REPLICA_URL, { max, transform: postgres.camel, onnotice() {} });
export const primary = postgres(process.env.PRIMARY_URL, { max, transform: postgres.camel, onnotice() {} });

const USER = 'id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at';
const POST = 'id, author_id, title, body, published_at, created_at, updated_at';

export async function userById(id) {
  const [user] = await replica`select ${replica.unsafe(USER)} from users where id = ${id}`;
  return user ?? null;
}

/** In the order of the ids, as a DataLoader wants them. */
export async function usersByIds(ids) {
  const rows = await replica`select ${replica.unsafe(USER)} from users where id = any(${ids}::uuid[])`;
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id) ?? null);
}

export const newestUsers = (first) =>
  replica`select ${replica.unsafe(USER)} from users order by created_at desc, id desc limit ${first}`;

/** The newest posts of each author, all authors with one statement. */
export async function postsByAuthors(authorIds, first) {
  const rows = await replica`
    select p.* from unnest(${authorIds}::uuid[]) as author (id), lateral (
      select ${replica.unsafe(POST)} from posts where author_id = author.id order by created_at desc, id desc limit ${first}
    ) p`;
  const byAuthor = Map.groupBy(rows, ({ authorId }) => authorId);
  return authorIds.map((id) => byAuthor.get(id) ?? []);
}

export async function updateUser(id, { firstName }) {
  const [user] = await primary`
    update users set first_name = ${firstName} where id = ${id} returning ${primary.unsafe(USER)}`;
  return user ?? null;
}
