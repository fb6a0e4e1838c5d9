-- No foreign key: which posts have an author is the primary's to decide.
create table posts (
  id           uuid primary key,
  author_id    uuid not null,
  title        varchar(200) not null,
  body         varchar(20000) not null,
  published_at timestamptz,
  created_at   timestamptz not null,
  updated_at   timestamptz not null
);

create index posts_created_at on posts (created_at, id);
create index posts_title on posts (title, id);
create index posts_author_created_at on posts (author_id, created_at, id);
create index posts_title_prefix on posts (lower(title) text_pattern_ops);

grant select on posts to readback_reader;

select readback.watch('posts', 'id');
