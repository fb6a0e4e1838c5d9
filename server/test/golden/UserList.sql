-- primary: nothing

-- replica-1: 1

select s.seen, t.*
from readback.seen() s(seen)
left join (
  select id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
  from users t
  where true
  order by t.created_at desc, t.id desc limit $1
) t on true
order by t.created_at desc, t.id desc;
