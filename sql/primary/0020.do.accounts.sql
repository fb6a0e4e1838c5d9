-- rehearse: it refuses accounts that are there, so it is tried before anything is changed.

-- One rule for what is one account, here and nowhere else: upper and lower case, forms of Unicode that look the same, and
-- characters that nobody sees make no difference. The collation is named: with the database's own, where that is C,
-- lower() knows ASCII alone. It may not change later, as indexes hold what it returns.
do $$
declare encoding text := current_setting('server_encoding'); named text; plain text := '$1';
begin
  select format('%I', collname) into named
    from pg_catalog.pg_collation c join unnest(array['pg_c_utf8', 'und-x-icu', 'C.utf8', 'C.UTF-8', 'C']) with ordinality w(name, place) on c.collname = w.name
    where collnamespace = 'pg_catalog'::regnamespace and (encoding <> 'SQL_ASCII' or collname = 'C')
      and collencoding in (-1, (select d.encoding from pg_catalog.pg_database d where datname = current_database()))
    order by place limit 1;
  -- Unicode's characters that are to be ignored where they are not known (Default_Ignorable_Code_Point).
  if encoding = 'UTF8' then
    plain := $plain$regexp_replace(normalize($1, NFKC) collate "C",
      '[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0000-\U000E0FFF]',
      '', 'g')$plain$;
  end if;
  -- By way of upper case: the Greek sigma has two lower ones.
  plain := format('lower(upper(%s collate %s) collate %2$s)', plain, named);
  if encoding = 'UTF8' then plain := format('normalize(%s, NFKC)', plain); end if;
  execute format('create function readback.fold(text) returns text language sql immutable strict parallel safe return %s collate "C"', plain);
end $$;
grant execute on function readback.fold(text) to public; -- whoever writes a user has it called, by the indexes

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

-- Renewals of tokens. Each token has one successor, which it gets again within the time below, and is good beside it for
-- as long. A row is about the token that was renewed, and says what its successor says; the tokens themselves are nowhere.
create table readback.renewals (
  session    uuid not null,
  -- Of the renewed token: 0 is that of the sign-in.
  generation int not null,
  user_id    uuid not null,
  renewed_at timestamptz not null default clock_timestamp(),
  -- The renewed token's own end. After that the row is of no use.
  good_until timestamptz not null,
  key_id     uuid not null,
  seen       pg_lsn not null,
  expires_ms float not null,
  primary key (session, generation)
);
create index renewals_renewed_at on readback.renewals (renewed_at);
create index renewals_good_until on readback.renewals (good_until);

-- Sessions in which a token was renewed again after that time: somebody else has it too.
create table readback.ended_sessions (
  session  uuid primary key,
  user_id  uuid not null,
  ended_at timestamptz not null default clock_timestamp()
);

create function readback.renewal_grace() returns interval language sql immutable return interval '10 seconds';

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

-- What servers ask: tokens (generation null: sessions) that are over, or will be when their grace has passed.
create function readback.ended_tokens(within_ms float)
returns table (session uuid, generation int, user_id uuid, grace_ms float, kept_ms float)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select session, generation, user_id, (extract(epoch from renewed_at + readback.renewal_grace() - clock_timestamp()) * 1000)::float,
         (extract(epoch from good_until - clock_timestamp()) * 1000)::float
    from readback.renewals where renewed_at > clock_timestamp() - within_ms * interval '1 millisecond' and good_until > clock_timestamp()
  union all
  -- No token lasts longer than a day.
  select session, null, user_id, 0, (extract(epoch from ended_at + interval '25 hours' - clock_timestamp()) * 1000)::float
    from readback.ended_sessions where ended_at > clock_timestamp() - within_ms * interval '1 millisecond'
$$;

create function readback.forget_renewals() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  -- The servers' clocks, by which tokens end, may differ from this one.
  delete from readback.renewals where good_until < clock_timestamp() - interval '1 hour';
  delete from readback.ended_sessions where ended_at < clock_timestamp() - interval '25 hours';
$$;

revoke execute on function readback.renew_token(uuid, int, uuid, int, float, uuid, pg_lsn, float), readback.ended_tokens(float),
  readback.forget_renewals() from public;
grant execute on function readback.renew_token(uuid, int, uuid, int, float, uuid, pg_lsn, float), readback.forget_renewals() to readback_writer;
grant execute on function readback.ended_tokens(float) to readback_writer, readback_reader;

-- A function with its owner's rights looks for tables in the caller's temporary schema first, unless that is named, and
-- anybody may put a view there, which would run with those rights.
do $$
declare definer regprocedure;
begin
  for definer in select oid from pg_catalog.pg_proc where pronamespace = 'readback'::regnamespace and prosecdef loop
    execute format('alter function %s set search_path = pg_catalog, pg_temp', definer);
  end loop;
end $$;
