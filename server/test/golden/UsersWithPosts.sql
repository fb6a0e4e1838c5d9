-- primary: nothing

-- replica-1: 4

select s.seen as "$seen", t.*
from readback.seen() s(seen)
left join (
  select t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
  from users t
  where true
  order by t.created_at desc, t.id desc limit $1
) t on true
order by t.created_at desc, t.id desc;

select s.seen as "$seen", t."$place", t.*
from readback.seen() s(seen)
left join (
  select q.place as "$place", t.*
  from jsonb_to_recordset($1) q(place int, parent uuid, rows int, before_0 timestamptz, before_1 uuid)
  cross join lateral (
    select t.id, t.author_id, t.title, t.body, t.published_at, t.created_at, t.updated_at
    from posts t
    where t.author_id = q.parent and (t.created_at, t.id) > (q.before_0, q.before_1)
    order by t.created_at asc, t.id asc limit q.rows
  ) t
) t on true
order by t."$place", t.created_at asc, t.id asc;

select s.seen as "$seen", c.place as "$place", c.count
from readback.seen() s(seen)
left join (
  select q.place, c.count
  from jsonb_to_recordset($1) q(place int, parent uuid, viewer uuid)
  cross join lateral (
    select count(*)::int as count
    from posts t
    where t.author_id = q.parent
  ) c
) c on true;

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
