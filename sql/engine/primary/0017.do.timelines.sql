-- Which timelines this primary's history consists of, and where each of the earlier ones ended, from PostgreSQL's own
-- file. A promotion and a recovery to a point in time begin a new one; positions up to the end of an earlier one are
-- shared, what was written behind it on that one is lost.
create function readback.timelines() returns table (timeline int, ended pg_lsn)
language sql volatile security definer set search_path = pg_catalog as $$
  select part[1]::int, part[2]::pg_lsn
  from pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) || '.history', 0, 1000000, true) as file,
       regexp_split_to_table(file, '\n') as line,
       regexp_match(line, '^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)') as part
  where part is not null
$$;
revoke execute on function readback.timelines() from public;
grant execute on function readback.timelines() to readback_writer, readback_reader;
