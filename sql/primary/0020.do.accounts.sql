-- rehearse: it refuses accounts that are there, so it is tried before anything is changed.

do $$
declare pairs text;
begin
  select string_agg(format('%s %s', what, who), '; ' order by what desc, who) into pairs from (
    select 'username' as what, string_agg(format('%L (id %s)', username, id), ', ' order by created_at, id) as who
      from users group by readback.fold(username) having count(*) > 1
    union all
    select 'email', string_agg(format('%L (id %s)', email, id), ', ' order by created_at, id)
      from users group by readback.fold(email) having count(*) > 1
    limit 50) found;
  if pairs is not null then
    raise exception 'these users have what is one username or email from now on, as upper and lower case, and other forms of one text, make no difference: %. Rename or delete all but one of each, then run readback migrate again', pairs;
  end if;
end $$;

-- Under the names of the constraints that they replace, by which clients are told of a conflict. While they are made, users
-- cannot be written: some seconds for a million.
alter table users drop constraint users_username_key, drop constraint users_email_key;
create unique index users_username_key on users (readback.fold(username));
create unique index users_email_key on users (readback.fold(email));
-- The same as on the replica: the constraint's own index was what pages in this order were read from.
create index users_username on users (username, id);

create or replace function readback.credentials(login text)
returns table (id uuid, password_hash text, is_active boolean, is_admin boolean, token_version int)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select id, password_hash, is_active, is_admin, token_version from public.users
  where readback.fold(username) = readback.fold(login) or readback.fold(email) = readback.fold(login)
  order by readback.fold(username) = readback.fold(login) desc limit 1
$$;

-- A session's next token: the same one for all who ask within its time. It is called as the writer, with what the token says.
create function readback.renew_token(
  of_session uuid, of_generation int, of_user uuid, of_version int, token_expires_ms float,
  with_key uuid, at pg_lsn, until_ms float
) returns table (outcome text, key_id uuid, seen pg_lsn, expires_ms float)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare made readback.renewals;
begin
  if not exists (select from public.users where id = of_user and token_version = of_version and is_active)
    or exists (select from readback.ended_sessions where session = of_session) then
    return query select 'ended', null::uuid, null::pg_lsn, null::float;
    return;
  end if;
  insert into readback.renewals (session, generation, user_id, good_until, key_id, seen, expires_ms)
    values (of_session, of_generation, of_user, to_timestamp(token_expires_ms / 1000), with_key, at, until_ms)
    on conflict do nothing;
  -- Its own, or the one that another server has made: that one is awaited above, and can be seen by a statement behind it.
  select * into made from readback.renewals where session = of_session and generation = of_generation;
  if clock_timestamp() <= made.renewed_at + readback.renewal_grace() then
    return query select 'renewed', made.key_id, made.seen, made.expires_ms;
    return;
  end if;
  insert into readback.ended_sessions (session, user_id) values (of_session, of_user) on conflict do nothing;
  return query select 'reused', null::uuid, null::pg_lsn, null::float;
end $$;

revoke execute on function readback.renew_token(uuid, int, uuid, int, float, uuid, pg_lsn, float) from public;
grant execute on function readback.renew_token(uuid, int, uuid, int, float, uuid, pg_lsn, float) to readback_writer;

-- It looks for tables in the caller's temporary schema last.
alter function readback.credentials_of(uuid) set search_path = pg_catalog, pg_temp;
