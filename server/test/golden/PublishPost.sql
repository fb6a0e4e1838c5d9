-- primary: 2

update posts t
set published_at = coalesce(published_at, now())
where t.id = $1
returning t.id, t.author_id, t.title, t.body, t.published_at, t.created_at, t.updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
