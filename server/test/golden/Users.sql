-- primary: nothing

-- replica-1: 2

select s.seen, t.*
from readback.seen() s(seen)
left join (
  select id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
  from users t
  where t.is_active = $1 and (lower(t.username) like lower($2) or lower(t.email) like lower($3) or lower(t.first_name) like lower($4) or lower(t.last_name) like lower($5))
  order by t.username asc, t.id asc limit $6
) t on true
order by t.username asc, t.id asc;

select readback.seen() as seen, count(*)::int as count
from users t
where t.is_active = $1 and (lower(t.username) like lower($2) or lower(t.email) like lower($3) or lower(t.first_name) like lower($4) or lower(t.last_name) like lower($5));
