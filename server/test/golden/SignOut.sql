-- primary: 2

update users
set token_version = token_version + 1
where id = $1
returning id;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: nothing
