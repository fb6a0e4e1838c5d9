-- How far the origin is can be asked of three functions, of which providers permit some: where the quick ones are
-- refused, pg_show_replication_origin_status says the same. The settings of a transaction keep what is asked once.

-- At or after the end of every transaction that the calling statement can see: the origin moves first.
create or replace function readback.seen() returns pg_lsn
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare origin text; reached pg_lsn;
begin
  select 'pg_' || oid into origin from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database());
  if has_function_privilege('pg_replication_origin_progress(text, boolean)'::regprocedure, 'execute') then
    return pg_replication_origin_progress(origin, false);
  end if;
  select remote_lsn into reached from pg_show_replication_origin_status() where external_id = origin;
  return reached;
end $$;

-- Whether the apply worker may be inside a transaction. PostgreSQL shows that of sessions of one's own, and of others to
-- members of pg_read_all_stats: where it is not shown, the worker may be.
create or replace function readback.is_applying(worker int) returns boolean language sql volatile as $$
  select worker is not null and exists (
    select from pg_stat_get_activity(worker) where backend_xid is not null
      or not (coalesce(pg_has_role(usesysid, 'usage'), false) or pg_has_role('pg_read_all_stats', 'usage')))
$$;
revoke execute on function readback.is_applying(int) from public;

-- How this replica stands. The order of the reads matters: the origin moves before its commit is visible, so its
-- progress counts only when, read afterwards, the apply worker is in no transaction. Else the keepalive position does.
create or replace function readback.position(
  out subscribed boolean, out enabled boolean, out worker int, out copying int,
  out progress pg_lsn, out applied pg_lsn, out slot text
) language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare subscription oid; keepalive pg_lsn;
begin
  select oid, subenabled, subslotname into subscription, enabled, slot from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database());
  subscribed := subscription is not null;
  if not subscribed then return; end if;
  progress := readback.seen();
  select pid, latest_end_lsn into worker, keepalive from pg_stat_get_subscription(subscription) where relid is null limit 1;
  applied := case when readback.is_applying(worker) then keepalive else greatest(progress, keepalive) end;
  select count(*) into copying from pg_subscription_rel where srsubid = subscription and srsubstate <> 'r';
end $$;

-- Where the replica's latest transaction ended, once it can be read; null while the apply worker is inside one. Unlike
-- readback.position().applied this is always the end of a published transaction: a keepalive may lie between two of
-- them, and says nothing of the second. The origin moves before its commit is visible, so it is read first.
create or replace function readback.settled() returns pg_lsn
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare progress pg_lsn := readback.seen(); worker int;
begin
  select pid into worker from pg_subscription s, pg_stat_get_subscription(s.oid) w
    where s.subname = 'readback' and s.subdbid = (select oid from pg_database where datname = current_database()) and w.relid is null limit 1;
  return case when readback.is_applying(worker) then null else progress end;
end $$;

-- In the apply worker: where the transaction before this one ended on the primary.
create or replace function readback.applied_before() returns pg_lsn language plpgsql as $$
declare reached pg_lsn;
begin
  if has_function_privilege('pg_replication_origin_session_progress(boolean)'::regprocedure, 'execute') then
    reached := pg_replication_origin_session_progress(false);
  else
    select o.remote_lsn into reached from pg_stat_get_subscription(null) w
      join pg_show_replication_origin_status() o on o.external_id = 'pg_' || w.subid
      where w.pid = pg_backend_pid() and w.relid is null;
  end if;
  return coalesce(reached, '0/0');
end $$;
revoke execute on function readback.applied_before() from public;

-- Once a transaction, at its first change: whether its changes are logged, after what, and in which forms. Images are
-- texts, whose forms are the session's settings to say: those of the apply worker come from the replica's own
-- configuration. All of it is gone at the transaction's end.
create or replace function readback.logs_changes() returns boolean language plpgsql as $$
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    perform set_config('bytea_output', 'hex', true), set_config('IntervalStyle', 'postgres', true),
            set_config('extra_float_digits', '1', true), set_config('TimeZone', 'UTC', true),
            set_config('DateStyle', 'ISO, MDY', true), set_config('lc_monetary', 'C', true), set_config('xmlbinary', 'base64', true);
    perform set_config('readback.logging', readback.in_apply_worker()::text, true);
    perform pg_notify('readback', '');
    if current_setting('readback.logging') = 'true' then
      perform set_config('readback.after', readback.applied_before()::text, true);
      perform readback.note_life();
    end if;
  end if;
  return current_setting('readback.logging') = 'true';
end $$;

-- What logs_changes has noted. A transaction that began before this function was there has not.
create or replace function readback.after_lsn() returns pg_lsn language plpgsql as $$
declare noted text := current_setting('readback.after', true);
begin
  if coalesce(noted, '') = '' then return readback.applied_before(); end if;
  return noted::pg_lsn;
end $$;
revoke execute on function readback.after_lsn() from public;

-- Called once a transaction. The setting is the worker's session's; where PostgreSQL takes it back, as it does for
-- tables whose owner is not the subscription's, the constraint and the condition see to it that nothing is noted twice.
create or replace function readback.note_life() returns void language plpgsql as $$
declare noted text := current_setting('readback.life', true); reached pg_lsn := readback.after_lsn(); life bigint;
begin
  if noted = 'known' then return; end if;
  if coalesce(noted, '') = '' then
    insert into readback.worker_lives (pid, started_at, after_lsn)
      select pid, backend_start, reached from pg_stat_get_activity(pg_backend_pid())
      on conflict do nothing returning id into life;
    if life is not null then
      delete from readback.worker_lives where id <= life - 1000;
      perform set_config('readback.life', 'begun', false);
      return;
    end if;
  end if;
  update readback.worker_lives w set next_lsn = reached from pg_stat_get_activity(pg_backend_pid()) a
    where w.pid = a.pid and w.started_at = a.backend_start and w.next_lsn is null and w.after_lsn < reached;
  perform set_config('readback.life', 'known', false);
end $$;

-- A key as one text: of several columns the JSON array of their texts. Where there is no row, there is none.
create or replace function readback.key_of(image jsonb, key text[]) returns text language sql immutable as $$
  select case when cardinality(key) = 1 then image ->> key[1] when image is not null then array_to_json(array(select image ->> c from unnest(key) c))::text end
$$;

-- Row trigger; arguments: the table's name in the log, and the columns of its key; then an empty text and the columns
-- that are logged as text, where there are any.
create or replace function readback.log_change() returns trigger language plpgsql as $$
declare old_image jsonb; new_image jsonb; old_key text; new_key text; split int; key text[]; texts text[];
begin
  if coalesce(current_setting('readback.logging', true), '') = 'true' or readback.logs_changes() then
    if tg_op <> 'INSERT' then old_image := to_jsonb(old); end if;
    if tg_op <> 'DELETE' then new_image := to_jsonb(new); end if;
    if tg_nargs = 2 then
      old_key := old_image ->> tg_argv[1];
      new_key := new_image ->> tg_argv[1];
    else
      key := tg_argv[1:];
      split := array_position(key, '');
      if split is not null then
        texts := key[split + 1:];
        key := key[:split - 1];
        if tg_op <> 'INSERT' then old_image := readback.with_texts(old_image, old, texts); end if;
        if tg_op <> 'DELETE' then new_image := readback.with_texts(new_image, new, texts); end if;
      end if;
      old_key := readback.key_of(old_image, key);
      new_key := readback.key_of(new_image, key);
    end if;
    insert into readback.change_log (after_lsn, operation, table_name, key, former_key, before, after)
    values (coalesce(nullif(current_setting('readback.after', true), '')::pg_lsn, readback.after_lsn()), tg_op, tg_argv[0],
            coalesce(new_key, old_key), case when tg_op = 'UPDATE' then nullif(old_key, new_key) end, old_image, new_image);
  end if;
  return null;
end $$;

-- Statement trigger before TRUNCATE: every row that goes is told as deleted.
create or replace function readback.log_truncate() returns trigger language plpgsql as $$
declare arguments text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); key text[]; image text := 'to_jsonb(t)';
begin
  if readback.logs_changes() then
    key := case when split is null then arguments else arguments[:split - 1] end;
    if split is not null then
      image := image || (select string_agg(format(' || jsonb_build_object(%L, t.%I::text)', c, c), '') from unnest(arguments[split + 1:]) c);
    end if;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select $3, ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      image, (select string_agg(format('t.%I', c), ', ' order by n) from unnest(key) with ordinality k(c, n)),
      tg_table_schema, tg_table_name) using tg_argv[0], key, readback.after_lsn();
  end if;
  return null;
end $$;

-- What the subscription was made to connect with, in the form in which PostgreSQL keeps passwords: the connection itself
-- superusers alone may read, and who is none finds by this whether another one is configured by now. Nobody is granted it.
create table if not exists readback.connection (
  id       int primary key default 1 check (id = 1),
  verifier text not null
);
