-- primary: nothing

-- replica-1: 3

select s.seen as "$seen", t.*
from readback.seen() s(seen)
left join (
  select t.id, t.author_id, t.title, t.body, t.published_at, t.created_at, t.updated_at
  from posts t
  where (lower(t.title) like lower($1)) and t.author_id = $2 and (t.published_at is not null) = $3
  order by t.created_at desc, t.id desc limit $4
) t on true
order by t.created_at desc, t.id desc;

select readback.seen() as seen, count(*)::int as count
from posts t
where (lower(t.title) like lower($1)) and t.author_id = $2 and (t.published_at is not null) = $3;

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
