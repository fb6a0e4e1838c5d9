-- primary: nothing

-- replica-1: 2

select s.seen as "$seen", t.id, t.author_id, t.title, t.body, t.published_at, t.created_at, t.updated_at
from readback.seen() s(seen)
left join posts t on t.id = any($1::uuid[]);

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
