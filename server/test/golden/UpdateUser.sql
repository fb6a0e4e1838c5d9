-- primary: 2

update users t
set first_name = $1
where t.id = $2
returning id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
