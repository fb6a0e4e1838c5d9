-- What Readback itself needs on a replica: two roles that own nothing, the change log with its triggers, and how far the
-- replica is.

do $$ begin create role readback_reader nologin; exception when duplicate_object or unique_violation then null; end $$;
do $$ begin create role readback_pruner nologin; exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema readback to readback_reader, readback_pruner;

create table readback.heartbeat (id int primary key, beat_at timestamptz not null);
grant select on readback.heartbeat to readback_reader;

-- One row for each change that the apply worker made, in the primary's commit order: the worker alone writes here,
-- one transaction after the other. after_lsn is where the transaction before this one ended on the primary; it is the
-- same on every replica, so (after_lsn, place within the transaction) names a change everywhere. seq orders the rows
-- of one transaction; across transactions it may jump, and after a crash a change that is applied again gets a new one.
create table readback.change_log (
  after_lsn  pg_lsn not null,
  seq        bigint generated always as identity,
  applied_at timestamptz not null default clock_timestamp(),
  operation  text not null,
  table_name text not null,
  key        text not null,
  before     jsonb,
  after      jsonb,
  primary key (after_lsn, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);
grant select on readback.change_log to readback_reader;

-- What the log holds: every change behind pruned_to. Positions that another replica gave out are good here from
-- complete_since on: before that, this one copied tables, and skipped transactions that the other one logged. Set-up
-- sets it when the copies are done; until then it is the greatest there is.
create table readback.log_state (
  id             int primary key default 1 check (id = 1),
  log_id         bigint not null default (('x' || left(md5(gen_random_uuid()::text), 15))::bit(60)::bigint),
  pruned_to      pg_lsn not null default '0/0',
  complete_since pg_lsn not null default 'FFFFFFFF/FFFFFFFF'
);
insert into readback.log_state default values;
grant select on readback.log_state to readback_reader;

-- How this replica stands. The order of the reads matters: the origin moves before its commit is visible, so its
-- progress counts only when, read afterwards, the apply worker is in no transaction. Else the keepalive position does.
create function readback.position(
  out subscribed boolean, out enabled boolean, out worker int, out copying int,
  out progress pg_lsn, out applied pg_lsn, out slot text
) language plpgsql volatile security definer set search_path = pg_catalog as $$
declare subscription oid; keepalive pg_lsn; busy boolean;
begin
  select oid, subenabled, subslotname into subscription, enabled, slot from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database());
  subscribed := subscription is not null;
  if not subscribed then return; end if;
  progress := pg_replication_origin_progress('pg_' || subscription, false);
  select pid, latest_end_lsn into worker, keepalive from pg_stat_get_subscription(subscription) where relid is null limit 1;
  select backend_xid is not null into busy from pg_stat_get_activity(worker);
  applied := case when busy then keepalive else greatest(progress, keepalive) end;
  select count(*) into copying from pg_subscription_rel where srsubid = subscription and srsubstate <> 'r';
end $$;

-- At or after the end of every transaction that the calling statement can see: the origin moves first.
create function readback.seen() returns pg_lsn language sql volatile security definer set search_path = pg_catalog as $$
  select pg_replication_origin_progress('pg_' || oid, false) from pg_subscription
  where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database())
$$;

-- True in the apply worker, false in a table sync worker: the initial copy is no news.
create function readback.in_apply_worker() returns boolean language sql stable as $$
  select exists (select from pg_stat_get_subscription(null) where pid = pg_backend_pid() and relid is null)
$$;

-- Rings at the first change of each transaction, and says whether changes are logged: a transaction-local setting is
-- gone at the transaction's end.
create function readback.logs_changes() returns boolean language plpgsql as $$
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    perform set_config('readback.logging', readback.in_apply_worker()::text, true);
    perform pg_notify('readback', '');
  end if;
  return current_setting('readback.logging') = 'true';
end $$;

-- Row trigger; argument: the key column.
create function readback.log_change() returns trigger language plpgsql as $$
declare old_image jsonb; new_image jsonb;
begin
  if coalesce(current_setting('readback.logging', true), '') = 'true' or readback.logs_changes() then
    if tg_op <> 'INSERT' then old_image := to_jsonb(old); end if;
    if tg_op <> 'DELETE' then new_image := to_jsonb(new); end if;
    insert into readback.change_log (after_lsn, operation, table_name, key, before, after)
    values (coalesce(pg_replication_origin_session_progress(false), '0/0'), tg_op, tg_table_name,
            coalesce(new_image, old_image) ->> tg_argv[0], old_image, new_image);
  end if;
  return null;
end $$;

-- Statement trigger before TRUNCATE: every row that goes is told as deleted.
create function readback.log_truncate() returns trigger language plpgsql as $$
begin
  if readback.logs_changes() then
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select coalesce(pg_replication_origin_session_progress(false), ''0/0''), ''DELETE'', %L, t.%I::text, to_jsonb(t)
       from %I.%I t order by t.%2$I', tg_table_name, tg_argv[0], tg_table_schema, tg_table_name);
  end if;
  return null;
end $$;

-- Puts both triggers on a table. ENABLE ALWAYS: else they do not fire in the apply worker.
create function readback.watch(watched regclass, key_column text) returns void language plpgsql as $$
begin
  execute format('create trigger readback_change after insert or update or delete on %s
    for each row execute function readback.log_change(%L)', watched, key_column);
  execute format('create trigger readback_truncate before truncate on %s
    for each statement execute function readback.log_truncate(%L)', watched, key_column);
  execute format('alter table %s enable always trigger readback_change, enable always trigger readback_truncate', watched);
end $$;

-- Why the log cannot be trusted now; no row where it can. Each is something that somebody changed after set-up.
create function readback.feed_faults() returns setof text
language sql volatile security definer set search_path = pg_catalog as $$
  with subscription as (
    select oid, subname, substream from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database()))
  select format('another subscription, %s, writes into this database: its changes have no place in the order', subname)
    from subscription where subname <> 'readback'
  union all
  select 'streaming is parallel, which applies out of commit order: run alter subscription readback set (streaming = on)'
    from subscription where subname = 'readback' and substream = 'p'
  union all
  select format('the trigger %s of %s is missing or not ENABLE ALWAYS, so changes go unseen', wanted, r.srrelid::regclass)
    from pg_subscription_rel r join subscription s on s.oid = r.srsubid,
         unnest(array['readback_change', 'readback_truncate']) as wanted
    where r.srrelid <> 'readback.heartbeat'::regclass
      and not exists (select from pg_trigger where tgrelid = r.srrelid and tgname = wanted and tgenabled = 'A')
  union all
  select format('%s may write into the change log, which the apply worker alone should', grantee::regrole)
    from pg_class c, aclexplode(c.relacl)
    where c.oid = 'readback.change_log'::regclass and privilege_type in ('INSERT', 'UPDATE') and grantee <> relowner
$$;

-- Deletes the oldest transactions' changes: those applied more than keep_hours ago, then those past keep_bytes. At most
-- `most` rows a call, whole transactions each, so that no call holds locks or its transaction for long. Returns how many.
-- Live bytes are rows times their size, as sampled at both ends: the file's size would count what vacuum has yet to free.
create function readback.prune_log(keep_hours float, keep_bytes bigint, most int) returns int
language plpgsql volatile security definer set search_path = pg_catalog as $$
declare surplus bigint; reach pg_lsn; pruned int;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('readback.prune', 0)) then return 0; end if;
  select greatest(0, rows - floor(keep_bytes / greatest(size, 1)))::bigint into surplus from (
    select coalesce(max(seq) - min(seq) + 1, 0) as rows, avg(bytes) as size from (
      (select seq, pg_column_size(c.*) + 40 as bytes from readback.change_log c order by after_lsn, seq limit 500)
      union all
      (select seq, pg_column_size(c.*) + 40 from readback.change_log c order by after_lsn desc, seq desc limit 500)
    ) sample) estimate;
  -- Up to `reach`, exclusively: the transaction at the bound is kept whole, unless it alone is more than `most`.
  select max(after_lsn) into reach from (
    select after_lsn, applied_at, row_number() over (order by after_lsn, seq) as place
    from (select after_lsn, seq, applied_at from readback.change_log order by after_lsn, seq limit most + 1) oldest
  ) oldest where place <= surplus or applied_at < clock_timestamp() - keep_hours * interval '1 hour';
  if reach is null then return 0; end if;
  if reach = (select min(after_lsn) from readback.change_log) then
    reach := (select min(after_lsn) from readback.change_log where after_lsn > reach);
    if reach is null then return 0; end if; -- the newest transaction always stays: it says where the log ends
  end if;
  update readback.log_state set pruned_to = reach;
  delete from readback.change_log where after_lsn < reach;
  get diagnostics pruned = row_count;
  return pruned;
end $$;

-- A beat is no change, but it moves the position: ring.
create function readback.ring() returns trigger language plpgsql as $$
begin
  perform pg_notify('readback', '');
  return null;
end $$;
create trigger ring after insert or update on readback.heartbeat for each row execute function readback.ring();
alter table readback.heartbeat enable always trigger ring;

revoke execute on all functions in schema readback from public;
grant execute on function readback.position(), readback.seen(), readback.feed_faults() to readback_reader;
grant execute on function readback.prune_log(float, bigint, int) to readback_pruner;
