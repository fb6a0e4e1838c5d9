-- primary: 2

insert into posts as t (author_id, title, body)
values ($1, $2, $3)
returning t.id, t.author_id, t.title, t.body, t.published_at, t.created_at, t.updated_at;

select flushed, left(pg_walfile_name(flushed), 8) as timeline
from pg_current_wal_flush_lsn() as flushed;

-- replica-1: 1

select s.seen as "$seen", t.id, t.username, t.email, t.first_name, t.last_name, t.is_active, t.email_verified, t.created_at, t.updated_at
from readback.seen() s(seen)
left join users t on t.id = any($1::uuid[]);
