-- Statement trigger before TRUNCATE: every row that goes is told as deleted. A column may have the name of the alias, so
-- that a row is written as what it is.
create or replace function readback.log_truncate() returns trigger language plpgsql as $$
declare arguments text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); key text[]; image text := 'to_jsonb(t.*)';
begin
  if readback.logs_changes() then
    key := case when split is null then arguments else arguments[:split - 1] end;
    if split is not null then
      image := image || (select string_agg(format(' || jsonb_build_object(%L, t.%I::text)', c, c), '') from unnest(arguments[split + 1:]) c);
    end if;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select $3, ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      image, (select string_agg(format('t.%I', c), ', ' order by n) from unnest(key) with ordinality k(c, n)),
      tg_table_schema, tg_table_name) using tg_argv[0], key, readback.after_lsn();
  end if;
  return null;
end $$;
