-- What tokens are signed with. Never published: the replicas hold nothing that makes a token.
create table readback.signing_keys (
  id         uuid primary key default gen_random_uuid(),
  secret     bytea not null check (length(secret) >= 32),
  created_at timestamptz not null default now()
);
grant select, insert, delete on readback.signing_keys to readback_writer;
