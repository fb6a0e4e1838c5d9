-- Whose changes the log has. What another subscription's copy brought along is in no log: with its first change the log
-- starts again, and is complete once readback migrate has seen that nothing is copied any more.
alter table readback.log_state add column if not exists subscription oid;

-- In the apply worker, at the first change of its life.
create or replace function readback.note_subscription(life bigint) returns void language plpgsql as $$
declare own oid;
begin
  select subid into own from pg_stat_get_subscription(null) where pid = pg_backend_pid() and relid is null;
  update readback.log_state set subscription = own where subscription is null;
  if own is null or exists (select from readback.log_state where subscription = own) then return; end if;
  delete from readback.change_log;
  delete from readback.worker_lives where id < life;
  update readback.log_state set subscription = own, log_id = default, pruned_to = default, complete_since = default;
end $$;
revoke execute on function readback.note_subscription(bigint) from public;

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
      perform readback.note_subscription(life);
      perform set_config('readback.life', 'begun', false);
      return;
    end if;
  end if;
  update readback.worker_lives w set next_lsn = reached from pg_stat_get_activity(pg_backend_pid()) a
    where w.pid = a.pid and w.started_at = a.backend_start and w.next_lsn is null and w.after_lsn < reached;
  perform set_config('readback.life', 'known', false);
end $$;
