alter table users
  add column is_admin      boolean not null default false,
  add column token_version int not null default 0;
