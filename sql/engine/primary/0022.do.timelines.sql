-- Providers let nobody read files. The first timeline has no history, and so no file of it: whoever is on that misses
-- nothing. On a later one, who may not read the file is told no earlier timeline: bookmarks and cursors from before the
-- failover are refused once.
create or replace function readback.timelines() returns table (timeline int, ended pg_lsn)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare present text := left(pg_walfile_name(pg_current_wal_flush_lsn()), 8);
begin
  if present = '00000001' or not has_function_privilege('pg_read_file(text, bigint, bigint, boolean)'::regprocedure, 'execute') then
    return;
  end if;
  return query
    select part[1]::int, part[2]::pg_lsn
    from pg_read_file('pg_wal/' || present || '.history', 0, 1000000, true) as file,
         regexp_split_to_table(file, '\n') as line,
         regexp_match(line, '^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)') as part
    where part is not null;
end $$;
