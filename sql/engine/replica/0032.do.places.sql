-- Statement trigger before TRUNCATE: every row that goes is told as deleted. A place counts the rows, so that their order is
-- the same on every replica, whatever its collations are and whichever version of their library it has: texts go by bytes.
create or replace function readback.log_truncate() returns trigger language plpgsql as $$
declare key text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); image text := 'to_jsonb(%2$s)'; places text;
begin
  if readback.logs_changes() then
    if split is not null then
      image := key[split + 1];
      key := key[:split - 1];
    end if;
    select string_agg(format('t.%I', name) || case when a.attcollation <> 0 then ' collate pg_catalog."C"' else '' end, ', ' order by n) into places
      from unnest(key) with ordinality k(name, n) join pg_attribute a on a.attrelid = tg_relid and a.attname = name;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select $3, ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      format(image, 't', 't.*'), places, tg_table_schema, tg_table_name) using tg_argv[0], key, readback.after_lsn();
  end if;
  return null;
end $$;

-- Deletes the oldest transactions' changes: those applied more than keep_hours ago, then those past keep_bytes. At most
-- `most` rows a call, whole transactions each, so that no call holds locks or its transaction for long. Returns how many.
-- Live bytes are rows times their size, as sampled at both ends: the file's size would count what vacuum has yet to free.
create or replace function readback.prune_log(keep_hours float, keep_bytes bigint, most int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare surplus bigint; reach pg_lsn; pruned int; kept_from timestamptz := clock_timestamp() - keep_hours * interval '1 hour';
begin
  if not pg_try_advisory_xact_lock(hashtextextended('readback.prune', 0)) then return 0; end if;
  select greatest(0, rows - floor(keep_bytes / greatest(size, 1)))::bigint into surplus from (
    select coalesce(max(seq) - min(seq) + 1, 0) as rows, avg(bytes) as size from (
      (select seq, pg_column_size(c.*) + 40 as bytes from readback.change_log c order by after_lsn, seq limit 500)
      union all
      (select seq, pg_column_size(c.*) + 40 from readback.change_log c order by after_lsn desc, seq desc limit 500)
    ) sample) estimate;
  -- Up to `reach`, exclusively: the transaction at the bound is kept whole, unless it alone is more than `most`.
  select max(after_lsn) into reach from (
    select after_lsn, applied_at, row_number() over (order by after_lsn, seq) as place
    from (select after_lsn, seq, applied_at from readback.change_log order by after_lsn, seq limit most + 1) oldest
  ) oldest where place <= surplus or applied_at < kept_from;
  if reach is null then return 0; end if;
  if reach = (select min(after_lsn) from readback.change_log) then
    reach := (select min(after_lsn) from readback.change_log where after_lsn > reach);
    -- The newest transaction always stays: it says where the log ends. The last one that is past its time stays until the
    -- next one is, too: it says where that begins, to whoever had its last change and was away since.
    if reach is null or surplus = 0 and kept_from <= (
      select applied_at from readback.change_log where after_lsn = reach order by seq limit 1) then return 0; end if;
  end if;
  update readback.log_state set pruned_to = reach;
  delete from readback.change_log where after_lsn < reach;
  get diagnostics pruned = row_count;
  return pruned;
end $$;
