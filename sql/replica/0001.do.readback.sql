-- What Readback itself needs on a replica: a reading role, the change log with its trigger, and how far the replica is.

do $$ begin create role readback_reader nologin; exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema readback to readback_reader;

create table readback.heartbeat (id int primary key, beat_at timestamptz not null);
grant select on readback.heartbeat to readback_reader;

-- One row for each change that the apply worker made, in the primary's commit order: the worker alone writes here,
-- one transaction after the other. after_lsn is where the transaction before this one ended on the primary; it is the
-- same on every replica, so (after_lsn, place within the transaction) names a change everywhere.
create table readback.change_log (
  seq        bigint generated always as identity primary key,
  after_lsn  pg_lsn not null,
  applied_at timestamptz not null default clock_timestamp(),
  operation  text not null,
  table_name text not null,
  key        text not null,
  before     jsonb,
  after      jsonb
);
grant select on readback.change_log to readback_reader;

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

-- Row trigger, ENABLE ALWAYS, argument: the key column. Rings the doorbell at the first change of each transaction.
create function readback.log_change() returns trigger language plpgsql as $$
declare
  old_image jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_image jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
  -- Decided once a transaction: a transaction-local setting is gone at its end.
  if coalesce(current_setting('readback.logging', true), '') = '' then
    perform set_config('readback.logging', readback.in_apply_worker()::text, true);
    perform pg_notify('readback', '');
  end if;
  if current_setting('readback.logging') = 'true' then
    insert into readback.change_log (after_lsn, operation, table_name, key, before, after)
    values (coalesce(pg_replication_origin_session_progress(false), '0/0'), tg_op, tg_table_name,
            coalesce(new_image, old_image) ->> tg_argv[0], old_image, new_image);
  end if;
  return null;
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
grant execute on function readback.position(), readback.seen() to readback_reader;
