-- Who may do what: administrators, and what ends a user's tokens. Both sides have the two columns, so that a replica's
-- change feed carries the end of a token to every server.
alter table users
  add column is_admin      boolean not null default false,
  -- A token is good while it carries this number.
  add column token_version int not null default 0;

-- However it comes about, by the server or by hand in SQL: with another password, another rank or a user who may not
-- sign in any more, all tokens given out before are over.
create function readback.end_tokens() returns trigger language plpgsql as $$
begin
  new.token_version := old.token_version + 1;
  return new;
end $$;
create trigger users_end_tokens before update on users for each row
  when (old.password_hash is distinct from new.password_hash or old.is_active <> new.is_active or old.is_admin <> new.is_admin)
  execute function readback.end_tokens();

grant select (is_admin, token_version) on users to readback_writer, readback_reader;

-- The writer sets what the API can set. An administrator is made by the database's own administrator: a server that was
-- broken into cannot make one.
revoke insert, update on users from readback_writer;
grant insert (username, email, password_hash, first_name, last_name, is_active, email_verified) on users to readback_writer;
grant update (username, email, password_hash, first_name, last_name, is_active, email_verified, token_version)
  on users to readback_writer;

-- Taken out and in again within one transaction: the subscriptions keep the table.
alter publication readback drop table users;
alter publication readback add table users
  (id, username, email, first_name, last_name, is_active, email_verified, created_at, updated_at, is_admin, token_version);

-- The one way to a password hash: by the name or address that its owner signs in with, one row a call.
create function readback.credentials(login text)
returns table (id uuid, password_hash text, is_active boolean, is_admin boolean, token_version int)
language sql stable security definer set search_path = pg_catalog as $$
  select id, password_hash, is_active, is_admin, token_version from public.users where username = login or email = login
  order by username = login desc limit 1
$$;
-- And by the id, for a user who changes their own password.
create function readback.credentials_of(user_id uuid)
returns table (id uuid, password_hash text, is_active boolean, is_admin boolean, token_version int)
language sql stable security definer set search_path = pg_catalog as $$
  select id, password_hash, is_active, is_admin, token_version from public.users where id = user_id
$$;
revoke execute on function readback.credentials(text), readback.credentials_of(uuid), readback.end_tokens() from public;
grant execute on function readback.credentials(text), readback.credentials_of(uuid) to readback_writer;
