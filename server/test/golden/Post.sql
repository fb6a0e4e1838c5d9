-- primary: nothing

-- replica-1: 2

select s.seen, id, author_id, title, body, published_at, created_at, updated_at
from readback.seen() s(seen)
left join posts t on t.id = any($1::uuid[]);

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
