create table users (
  id             uuid primary key default gen_random_uuid(),
  username       varchar(50) not null constraint users_username_key unique,
  email          varchar(254) not null constraint users_email_key unique,
  password_hash  text not null,
  first_name     varchar(100),
  last_name      varchar(100),
  is_active      boolean not null default true,
  email_verified boolean not null default false,
  created_at     timestamptz not null default now(),
  updated_at     timestamptz not null default now()
);

create trigger users_touch before update on users for each row execute function readback.touch_updated_at();

-- The same as on the replica: a page read from the primary is as fast.
create index users_created_at on users (created_at, id);
create index users_username_prefix on users (lower(username) text_pattern_ops);
create index users_email_prefix on users (lower(email) text_pattern_ops);
create index users_first_name_prefix on users (lower(first_name) text_pattern_ops);
create index users_last_name_prefix on users (lower(last_name) text_pattern_ops);

-- All but the password hash.
grant select (id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at)
  on users to readback_writer, readback_reader;
grant insert, update, delete on users to readback_writer;

alter publication readback add table users
  (id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at);
