-- primary: 1

select a.account, c.*, readback.seen() as seen
from readback.fold($1) a(account)
left join readback.credentials($2) c on true;

-- replica-1: 1

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
