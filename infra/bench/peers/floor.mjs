/** The floor: Node's http and one statement for each request, by hand, without GraphQL. */
import { createServer } from 'node:http';
import { listen } from './listen.mjs';
import { primary, replica } from './store.mjs';

const one = async (id) => {
  const [user] = await replica`select id, username, first_name, last_name, created_at from users where id = ${id}`;
  return user;
};

const several = async (ids) => {
  const rows = await replica`
    select id, username, first_name, last_name, created_at from users where id = any(${ids}::uuid[])`;
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id));
};

const page = (first) => replica`
  select id, username, first_name, last_name, created_at from users order by created_at desc, id desc limit ${first}`;

const nested = (first) => replica`
  select u.id, u.username, p.posts from (
    select id, username, created_at from users order by created_at desc, id desc limit ${first}
  ) u, lateral (
    select json_agg(json_build_object('id', p.id, 'title', p.title, 'author', json_build_object('id', a.id, 'username', a.username))
      order by p.created_at desc, p.id desc) as posts
    from (select * from posts where author_id = u.id order by created_at desc, id desc limit 5) p join users a on a.id = p.author_id
  ) p order by u.created_at desc, u.id desc`;

const update = async (id, { firstName }) => {
  const [user] = await primary`update users set first_name = ${firstName} where id = ${id} returning id, first_name`;
  return user;
};

async function bodyOf(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}

async function answer(request) {
  const [, what, value] = request.url.split('/');
  switch (`${request.method} ${what}`) {
    case 'GET users':
      return one(value);
    case 'POST users':
      return several(await bodyOf(request));
    case 'GET page':
      return page(Number(value));
    case 'GET nested':
      return nested(Number(value));
    case 'PATCH users':
      return update(value, await bodyOf(request));
    default:
      throw new Error(`nothing at ${request.method} ${request.url}`);
  }
}

const server = createServer((request, response) => {
  answer(request).then(
    (data) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(data));
    },
    (error) => response.writeHead(500).end(String(error)),
  );
});
await listen(server);
