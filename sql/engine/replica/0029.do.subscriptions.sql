-- Whose changes the log has: what another subscription's copy brought along is in no log. Set-up notes it whenever the log
-- is complete.
alter table readback.log_state add column if not exists subscription oid;
update readback.log_state set subscription = (
  select oid from pg_subscription where subname = 'readback' and subdbid = (select oid from pg_database where datname = current_database()));

-- Why the log cannot be trusted now; no row where it can. Each is something that somebody changed after set-up.
create or replace function readback.feed_faults() returns setof text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
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
  select 'the subscription was made again since set-up, and its copy may have brought what no log has: run readback migrate'
    from subscription, readback.log_state l where subname = 'readback' and oid <> l.subscription
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
