-- Does what it did before with less work in each transaction. A session finds out once that it is the apply worker's; where
-- PostgreSQL takes that setting back, it finds it out again. The settings that give images their form are made only where
-- the replica's own differ, and are gone at the transaction's end.
create or replace function readback.logs_changes() returns boolean language plpgsql as $$
declare is_worker boolean;
begin
  if coalesce(current_setting('readback.logging', true), '') = '' then
    is_worker := coalesce(current_setting('readback.worker', true), '') = 'true';
    if not is_worker then
      is_worker := readback.in_apply_worker();
      if is_worker then perform set_config('readback.worker', 'true', false); end if;
    end if;
    perform set_config('readback.logging', is_worker::text, true), pg_notify('readback', '');
    if is_worker then
      if current_setting('bytea_output') <> 'hex' then perform set_config('bytea_output', 'hex', true); end if;
      if current_setting('IntervalStyle') <> 'postgres' then perform set_config('IntervalStyle', 'postgres', true); end if;
      if current_setting('extra_float_digits') <> '1' then perform set_config('extra_float_digits', '1', true); end if;
      if current_setting('TimeZone') <> 'UTC' then perform set_config('TimeZone', 'UTC', true); end if;
      if current_setting('DateStyle') <> 'ISO, MDY' then perform set_config('DateStyle', 'ISO, MDY', true); end if;
      if current_setting('lc_monetary') <> 'C' then perform set_config('lc_monetary', 'C', true); end if;
      if current_setting('xmlbinary') <> 'base64' then perform set_config('xmlbinary', 'base64', true); end if;
      perform set_config('readback.after', readback.applied_before()::text, true);
      if current_setting('readback.life', true) is distinct from 'known' then perform readback.note_life(); end if;
    end if;
  end if;
  return current_setting('readback.logging') = 'true';
end $$;
