-- What servers have seen of the replicas: ends of transactions that were there, by the slot that each reads from. A
-- crash of a replica may take transactions away that it has confirmed; a server that has just started finds that out by
-- what others saw. `log_id` is that of the replica's change log: another one after each copy.
create table readback.seen_positions (
  slot      text primary key,
  log_id    bigint not null,
  -- Ascending, the 64 latest.
  positions pg_lsn[] not null,
  -- One that the replica has lost for good: it must be copied anew.
  lost      pg_lsn
);

create function readback.note_seen(of_slot text, of_log bigint, at pg_lsn, is_lost boolean) returns void
language sql volatile security definer set search_path = pg_catalog as $$
  insert into readback.seen_positions as s (slot, log_id, positions, lost)
  values (of_slot, of_log, array[at], case when is_lost then at end)
  on conflict (slot) do update set
    log_id = excluded.log_id,
    positions = case when s.log_id <> excluded.log_id then excluded.positions else (
      select array_agg(position order by position) from (
        select distinct position from unnest(s.positions || excluded.positions) as position order by position desc limit 64) latest) end,
    lost = case when s.log_id = excluded.log_id then coalesce(s.lost, excluded.lost) else excluded.lost end
$$;
revoke execute on function readback.note_seen(text, bigint, pg_lsn, boolean) from public;
grant execute on function readback.note_seen(text, bigint, pg_lsn, boolean) to readback_writer;
grant select on readback.seen_positions to readback_writer, readback_reader;
