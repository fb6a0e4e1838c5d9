-- Images are texts, whose forms are the session's settings to say: those of the apply worker come from the replica's own
-- configuration. They are set once a transaction, and for it alone.
create or replace function readback.logs_changes() returns boolean language plpgsql as $$
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    perform set_config('bytea_output', 'hex', true), set_config('IntervalStyle', 'postgres', true),
            set_config('extra_float_digits', '1', true), set_config('TimeZone', 'UTC', true),
            set_config('DateStyle', 'ISO, MDY', true), set_config('lc_monetary', 'C', true), set_config('xmlbinary', 'base64', true);
    perform set_config('readback.logging', readback.in_apply_worker()::text, true);
    perform pg_notify('readback', '');
    if current_setting('readback.logging') = 'true' then perform readback.note_life(); end if;
  end if;
  return current_setting('readback.logging') = 'true';
end $$;

-- A function with its owner's rights looks for tables in the caller's temporary schema first, unless that is named, and
-- anybody may put a view there, which would run with those rights.
do $$
declare definer regprocedure;
begin
  for definer in select oid from pg_catalog.pg_proc where pronamespace = 'readback'::regnamespace and prosecdef loop
    execute format('alter function %s set search_path = pg_catalog, pg_temp', definer);
  end loop;
end $$;
