-- What is so for all of the apply worker's session is found out once in it, not in each of its transactions: that it is the
-- apply worker, and that it has the settings which give images their form. A setting of the session goes where PostgreSQL
-- takes it back, as it does for tables whose owner is not the subscription's, and is then made again.
create or replace function readback.logs_changes() returns boolean language plpgsql as $$
declare is_worker boolean;
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    is_worker := coalesce(current_setting('readback.worker', true), '') = 'true';
    if not is_worker and readback.in_apply_worker() then
      perform set_config('bytea_output', 'hex', false), set_config('IntervalStyle', 'postgres', false),
              set_config('extra_float_digits', '1', false), set_config('TimeZone', 'UTC', false),
              set_config('DateStyle', 'ISO, MDY', false), set_config('lc_monetary', 'C', false),
              set_config('xmlbinary', 'base64', false), set_config('readback.worker', 'true', false);
      is_worker := true;
    end if;
    perform set_config('readback.logging', is_worker::text, true), pg_notify('readback', '');
    if is_worker then
      perform set_config('readback.after', readback.applied_before()::text, true);
      if current_setting('readback.life', true) is distinct from 'known' then perform readback.note_life(); end if;
    end if;
  end if;
  return current_setting('readback.logging') = 'true';
end $$;
