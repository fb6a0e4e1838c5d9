-- primary: 3

select c.*, readback.seen() as seen
from readback.credentials_of($1) c;

update users
set password_hash = $1
where id = $2 and token_version = $3
returning id, is_active, is_admin, token_version;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: 1

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
