-- primary: 2

delete from posts t
where t.id = $1
returning id, author_id, title, body, published_at, created_at, updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
