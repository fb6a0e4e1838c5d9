-- primary: 2

select outcome, key_id, seen, expires_ms as expires_at_ms
from readback.renew_token($1, $2, $3, $4, $5, $6, $7, $8);

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: 1

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
