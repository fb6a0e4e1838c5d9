-- primary: nothing

-- replica-1: 1

select s.seen as "$seen", t.*
from readback.seen() s(seen)
left join (
  select t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
  from users t
  where true
  order by t.created_at desc, t.id desc limit $1
) t on true
order by t.created_at desc, t.id desc;
