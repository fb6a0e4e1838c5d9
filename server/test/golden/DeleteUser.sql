-- primary: 2

delete from users t
where t.id = $1
returning id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
