-- primary: 2

delete from users t
where t.id = $1
returning t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
