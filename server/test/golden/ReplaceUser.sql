-- primary: 2

update users t
set username = $1, email = $2, first_name = $3, last_name = $4, is_active = $5, email_verified = $6
where t.id = $7
returning id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
