-- primary: nothing

-- replica-1: 3

select s.seen, t.*
from readback.seen() s(seen)
left join (
  select id, author_id, title, body, published_at, created_at, updated_at
  from posts t
  where lower(t.title) like lower($1) and t.author_id = $2 and (t.published_at is not null) = $3
  order by t.created_at desc, t.id desc limit $4
) t on true
order by t.created_at desc, t.id desc;

select readback.seen() as seen, count(*)::int as count
from posts t
where lower(t.title) like lower($1) and t.author_id = $2 and (t.published_at is not null) = $3;

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
