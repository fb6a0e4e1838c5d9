-- primary: nothing

-- replica-1: 2

select s.seen as "$seen", t.*
from readback.seen() s(seen)
left join (
  select t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
  from users t
  where (lower(t.username) like lower($1) or lower(t.email) like lower($2) or lower(t.first_name) like lower($3) or lower(t.last_name) like lower($4)) and t.is_active = $5
  order by t.username asc, t.id asc limit $6
) t on true
order by t.username asc, t.id asc;

select readback.seen() as seen, count(*)::int as count
from users t
where (lower(t.username) like lower($1) or lower(t.email) like lower($2) or lower(t.first_name) like lower($3) or lower(t.last_name) like lower($4)) and t.is_active = $5;
