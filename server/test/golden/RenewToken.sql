-- primary: 2

select outcome, key_id, seen, expires_ms as expires_at_ms
from readback.renew_token($1, $2, $3, $4, $5, $6, $7, $8);

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: 1

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
