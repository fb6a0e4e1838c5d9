-- What the replicas' slots keep of the WAL, and a way to give one up before it fills the disk.

do $$ begin create role readback_pruner nologin; exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema readback to readback_pruner;

-- Readback's own slots in this database: what each keeps, and how much of that its replica has yet to confirm; the rest
-- open transactions keep. What a version does not have is null: the reasons are there from 17 on.
drop function readback.slots();
create function readback.slots() returns table (
  slot text, active boolean, confirmed pg_lsn, held_bytes float, owed_bytes float, wal_status text, safe_bytes float,
  inactive_since timestamptz, reason text
) language sql volatile security definer set search_path = pg_catalog as $$
  select slot_name::text, active, confirmed_flush_lsn, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn)::float,
         pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::float, wal_status, safe_wal_size::float,
         (to_jsonb(s) ->> 'inactive_since')::timestamptz, to_jsonb(s) ->> 'invalidation_reason'
  from pg_replication_slots s where database = current_database() and slot_name like 'readback\_%'
$$;

-- Ends whoever reads from the slot of a replica, and drops it, where that replica owes more; returns what the slot held,
-- null where it does not, or is gone. Several servers may call it at once: it looks again itself. Whoever took over a
-- server could take slots with it, but none of a replica that keeps up, nor any but a replica's. What a slot keeps for an
-- open transaction does not count: giving it up would cut the replica off, and the next one, until that ends.
create function readback.give_up_slot(wanted text, more_than_bytes bigint) returns float
language plpgsql volatile security definer set search_path = pg_catalog as $$
declare reader int; held numeric; owed numeric;
begin
  if more_than_bytes is null or more_than_bytes < 67108864 then
    raise exception 'a replica may owe 67108864 bytes, a limit of % is too small', more_than_bytes using errcode = '22023';
  end if;
  for attempt in 1..5 loop
    select active_pid, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn),
           pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn) into reader, held, owed
      from pg_replication_slots where slot_name = wanted and slot_name like 'readback\_%' and plugin = 'pgoutput' and database = current_database();
    if held is null or owed is null or owed <= more_than_bytes then return null; end if;
    if reader is not null then perform pg_terminate_backend(reader, 1000); end if;
    begin
      perform pg_drop_replication_slot(wanted);
      return held;
    exception
      when object_in_use then null; -- its replica was back at once, or is not gone yet
      when undefined_object then return null; -- another server was first
    end;
  end loop;
  raise exception 'the slot % is still read from, by process %', wanted, reader using errcode = '55006';
end $$;

revoke execute on function readback.slots(), readback.give_up_slot(text, bigint) from public;
grant execute on function readback.slots() to readback_writer, readback_reader;
grant execute on function readback.give_up_slot(text, bigint) to readback_pruner;
