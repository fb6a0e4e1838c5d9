-- Where the replica's latest transaction ended, once it can be read; null while the apply worker is inside one. Unlike
-- readback.position().applied this is always the end of a published transaction: a keepalive may lie between two of
-- them, and says nothing of the second. The origin moves before its commit is visible, so it is read first.
create function readback.settled() returns pg_lsn language plpgsql volatile security definer set search_path = pg_catalog as $$
declare subscription oid; progress pg_lsn; worker int; busy boolean;
begin
  select oid into subscription from pg_subscription
    where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database());
  if subscription is null then return null; end if;
  progress := pg_replication_origin_progress('pg_' || subscription, false);
  select pid into worker from pg_stat_get_subscription(subscription) where relid is null limit 1;
  -- With null it would list all sessions.
  busy := worker is not null and exists (select from pg_stat_get_activity(worker) where backend_xid is not null);
  return case when busy then null else progress end;
end $$;
revoke execute on function readback.settled() from public;
grant execute on function readback.settled() to readback_reader;

-- Whether a commit of this replica may be told to the primary before it is on the disk here: somebody's choice, which
-- set-up notes. Without it such a subscription is a fault of the feed.
alter table readback.log_state add column may_lose boolean not null default false;

-- One row for each life of the apply worker that has applied anything: where the origin stood when its first transaction
-- began, and where that transaction ended, which its second one notes. In between lies exactly one transaction of the
-- primary: the end of another one that was seen here earlier, and lies in between, was lost in a crash and is not sent
-- again. Each row is of the transaction that it tells of, so a crash takes both or none.
create table readback.worker_lives (
  id         bigint generated always as identity primary key,
  pid        int not null,
  started_at timestamptz not null,
  after_lsn  pg_lsn not null,
  next_lsn   pg_lsn,
  unique (pid, started_at)
);

-- Called once a transaction. The setting is the worker's session's; where PostgreSQL takes it back, as it does for
-- tables whose owner is not the subscription's, the constraint and the condition see to it that nothing is noted twice.
create function readback.note_life() returns void language plpgsql as $$
declare noted text := current_setting('readback.life', true); reached pg_lsn := coalesce(pg_replication_origin_session_progress(false), '0/0'); life bigint;
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

-- The first of these positions that this replica does not have any more, though it has applied what came after it; null
-- where it has all up to where it is. Each was seen here as the end of a transaction, since the log began to be complete.
create function readback.missing(seen pg_lsn[]) returns pg_lsn
language sql volatile security definer set search_path = pg_catalog as $$
  with lives as (
    select after_lsn, coalesce(next_lsn, lead(after_lsn) over (order by id), readback.settled()) as next_lsn
    from readback.worker_lives)
  select min(s) from unnest(seen) s join lives on lives.after_lsn < s and s < lives.next_lsn
  where lives.after_lsn >= (select complete_since from readback.log_state)
$$;
-- Whoever commits this waits until everything that was committed before is on the disk.
create function readback.flush() returns void language sql volatile as $$
  select pg_logical_emit_message(true, 'readback', '') $$;
revoke execute on function readback.flush() from public;
grant execute on function readback.flush() to readback_pruner;

revoke execute on function readback.note_life(), readback.missing(pg_lsn[]) from public;
grant execute on function readback.missing(pg_lsn[]) to readback_reader;

create or replace function readback.logs_changes() returns boolean language plpgsql as $$
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    perform set_config('readback.logging', readback.in_apply_worker()::text, true);
    perform pg_notify('readback', '');
    if current_setting('readback.logging') = 'true' then perform readback.note_life(); end if;
  end if;
  return current_setting('readback.logging') = 'true';
end $$;

create or replace function readback.ring() returns trigger language plpgsql as $$
begin
  perform readback.logs_changes();
  return null;
end $$;

-- Why the log cannot be trusted now; no row where it can. Each is something that somebody changed after set-up.
create or replace function readback.feed_faults() returns setof text
language sql volatile security definer set search_path = pg_catalog as $$
  with subscription as (
    select oid, subname, substream, subsynccommit from pg_subscription
    where subdbid = (select oid from pg_database where datname = current_database()))
  select format('another subscription, %s, writes into this database: its changes have no place in the order', subname)
    from subscription where subname <> 'readback'
  union all
  select 'streaming is parallel, which applies out of commit order: run alter subscription readback set (streaming = on)'
    from subscription where subname = 'readback' and substream::text = 'p'
  union all
  select 'synchronous_commit of the subscription is off, so that a crash may take changes which the primary does not send again: run alter subscription readback set (synchronous_commit = local)'
    from subscription, readback.log_state where subname = 'readback' and subsynccommit = 'off' and not may_lose
  union all
  select 'track_commit_timestamp is off, so it is not known when changes were committed on the primary: set it to on and restart this replica'
    where current_setting('track_commit_timestamp') = 'off'
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
