-- primary: 2

insert into posts (author_id, title, body)
values ($1, $2, $3)
returning id, author_id, title, body, published_at, created_at, updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: 1

select s.seen, id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
