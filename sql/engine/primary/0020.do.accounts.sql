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
grant execute on function readback.fold(text) to public; -- whoever writes an account has it called, by the indexes

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

revoke execute on function readback.ended_tokens(float), readback.forget_renewals() from public;
grant execute on function readback.forget_renewals() to readback_writer;
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
