-- primary: nothing

-- replica-1: 4

select s.seen, t.*
from readback.seen() s(seen)
left join (
  select id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
  from users t
  where true
  order by t.created_at desc, t.id desc limit $1
) t on true
order by t.created_at desc, t.id desc;

select s.seen, t.*
from readback.seen() s(seen)
left join (
  select q.place, t.*
  from jsonb_to_recordset($1) q(place int, parent uuid, rows int, after timestamptz, after_id uuid, before timestamptz, before_id uuid)
  cross join lateral (
    select id, author_id, title, body, published_at, created_at, updated_at
    from posts t
    where t.author_id = q.parent and (t.created_at, t.id) > (q.before, q.before_id)
    order by t.created_at asc, t.id asc limit q.rows
  ) t
) t on true
order by t.place, t.created_at asc, t.id asc;

select s.seen, c.*
from readback.seen() s(seen)
left join (
  select t.author_id as parent, count(*)::int as count
  from posts t
  where t.author_id = any($1::uuid[])
  group by t.author_id
) c on true;

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
