-- The foreign key stands here alone: the primary decides, and each deleted post arrives on the replicas as itself.
create table posts (
  id           uuid primary key default gen_random_uuid(),
  author_id    uuid not null constraint posts_author_id_fkey references users on delete cascade,
  title        varchar(200) not null,
  body         varchar(20000) not null,
  published_at timestamptz,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now()
);

-- Publishing a second time is no change.
create trigger posts_touch before update on posts for each row when (old.* is distinct from new.*)
  execute function readback.touch_updated_at();

-- The same as on the replica. The one of authors also serves the foreign key: deleting a user looks for their posts.
create index posts_created_at on posts (created_at, id);
create index posts_title on posts (title, id);
create index posts_author_created_at on posts (author_id, created_at, id);
create index posts_title_prefix on posts (lower(title) text_pattern_ops);

grant select on posts to readback_writer, readback_reader;
grant insert, update, delete on posts to readback_writer;

alter publication readback add table posts;
