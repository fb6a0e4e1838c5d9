-- primary: nothing

-- replica-1: 1

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
