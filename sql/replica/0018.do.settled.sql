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
