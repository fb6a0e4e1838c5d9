-- No password column, and no unique constraint but the key: uniqueness is the primary's to decide.
create table users (
  id             uuid primary key,
  username       varchar(50) not null,
  email          varchar(254) not null,
  first_name     varchar(100),
  last_name      varchar(100),
  is_active      boolean not null,
  email_verified boolean not null,
  created_at     timestamptz not null,
  updated_at     timestamptz not null
);

create index users_created_at on users (created_at, id);
create index users_username on users (username, id);
create index users_username_prefix on users (lower(username) text_pattern_ops);
create index users_email_prefix on users (lower(email) text_pattern_ops);
create index users_first_name_prefix on users (lower(first_name) text_pattern_ops);
create index users_last_name_prefix on users (lower(last_name) text_pattern_ops);

grant select on users to readback_reader;

select readback.watch('users', 'id');
