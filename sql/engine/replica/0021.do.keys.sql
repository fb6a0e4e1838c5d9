-- The log names tables as clients do, bare in public, else with their schema, and keys may have several columns. What is
-- told of an update that changes the key is worked out as the row is logged.
alter table readback.change_log add column if not exists former_key text;

update readback.change_log c set former_key = c.before ->> k.name from (
  select r.relname, convert_from(substring(t.tgargs from 1 for position('\x00' in t.tgargs) - 1), getdatabaseencoding()) as name
  from pg_trigger t join pg_class r on r.oid = t.tgrelid where t.tgname = 'readback_change' and t.tgnargs = 1) k
  where c.operation = 'UPDATE' and c.table_name = k.relname and c.before ->> k.name <> c.key;

-- A key as one text: of several columns the JSON array of their texts.
create or replace function readback.key_of(image jsonb, key text[]) returns text language sql immutable as $$
  select case when cardinality(key) = 1 then image ->> key[1] else array_to_json(array(select image ->> c from unnest(key) c))::text end
$$;

-- Columns that are logged as PostgreSQL's text: JSON would have a form of its own for what they hold.
create or replace function readback.texts_of(watched regclass) returns text[] language sql stable set search_path = pg_catalog as $$
  select array(
    select a.attname from pg_attribute a
    cross join lateral (
      with recursive types as (
        select t.* from pg_type t where t.oid = a.atttypid
        union all
        select t.* from types join pg_type t on t.oid = case when types.typtype = 'd' then types.typbasetype when types.typcategory = 'A' then types.typelem end)
      select bool_or(typtype = 'c' or types.oid not in ('json'::regtype, 'jsonb'::regtype) and exists (select from pg_cast where castsource = types.oid and casttarget = 'json'::regtype)) as is_odd,
             bool_or(typcategory = 'A') as is_array from types) t
    where a.attrelid = watched and a.attnum > 0 and not a.attisdropped and t.is_odd and not t.is_array order by a.attnum)
$$;

create or replace function readback.with_texts(image jsonb, logged anyelement, texts text[]) returns jsonb language plpgsql as $$
declare name text; value text;
begin
  foreach name in array texts loop
    execute format('select ($1).%I::text', name) into value using logged;
    image := image || jsonb_build_object(name, value);
  end loop;
  return image;
end $$;

-- Row trigger; arguments: the table's name in the log, and the columns of its key; then an empty text and the columns
-- that are logged as text, where there are any.
create or replace function readback.log_change() returns trigger language plpgsql as $$
declare old_image jsonb; new_image jsonb; old_key text; new_key text; split int; key text[]; texts text[];
begin
  if coalesce(current_setting('readback.logging', true), '') = 'true' or readback.logs_changes() then
    if tg_op <> 'INSERT' then old_image := to_jsonb(old); end if;
    if tg_op <> 'DELETE' then new_image := to_jsonb(new); end if;
    if tg_nargs = 2 then
      old_key := old_image ->> tg_argv[1];
      new_key := new_image ->> tg_argv[1];
    else
      key := tg_argv[1:];
      split := array_position(key, '');
      if split is not null then
        texts := key[split + 1:];
        key := key[:split - 1];
        if tg_op <> 'INSERT' then old_image := readback.with_texts(old_image, old, texts); end if;
        if tg_op <> 'DELETE' then new_image := readback.with_texts(new_image, new, texts); end if;
      end if;
      old_key := readback.key_of(old_image, key);
      new_key := readback.key_of(new_image, key);
    end if;
    insert into readback.change_log (after_lsn, operation, table_name, key, former_key, before, after)
    values (coalesce(pg_replication_origin_session_progress(false), '0/0'), tg_op, tg_argv[0],
            coalesce(new_key, old_key), case when tg_op = 'UPDATE' then nullif(old_key, new_key) end, old_image, new_image);
  end if;
  return null;
end $$;

-- Statement trigger before TRUNCATE: every row that goes is told as deleted.
create or replace function readback.log_truncate() returns trigger language plpgsql as $$
declare arguments text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); key text[]; image text := 'to_jsonb(t)';
begin
  if readback.logs_changes() then
    key := case when split is null then arguments else arguments[:split - 1] end;
    if split is not null then
      image := image || (select string_agg(format(' || jsonb_build_object(%L, t.%I::text)', c, c), '') from unnest(arguments[split + 1:]) c);
    end if;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select coalesce(pg_replication_origin_session_progress(false), ''0/0''), ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      image, (select string_agg(format('t.%I', c), ', ' order by n) from unnest(key) with ordinality k(c, n)),
      tg_table_schema, tg_table_name) using tg_argv[0], key;
  end if;
  return null;
end $$;

-- Puts both triggers on a table. ENABLE ALWAYS: else they do not fire in the apply worker.
drop function if exists readback.watch(regclass, text);
create or replace function readback.watch(watched regclass, variadic key text[]) returns void language plpgsql as $$
declare arguments text; texts text[] := readback.texts_of(watched);
begin
  if cardinality(texts) > 0 then key := key || array[''] || texts; end if;
  select concat_ws(', ',
      quote_literal(case when n.nspname = 'public' then quote_ident(relname) else format('%I.%I', n.nspname, relname) end),
      (select string_agg(quote_literal(c), ', ' order by p) from unnest(key) with ordinality k(c, p)))
    into arguments from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = watched;
  execute format('create or replace trigger readback_change after insert or update or delete on %s
    for each row execute function readback.log_change(%s)', watched, arguments);
  execute format('create or replace trigger readback_truncate before truncate on %s
    for each statement execute function readback.log_truncate(%s)', watched, arguments);
  execute format('alter table %s enable always trigger readback_change, enable always trigger readback_truncate', watched);
end $$;
revoke execute on function readback.texts_of(regclass), readback.with_texts(jsonb, anyelement, text[]) from public;
grant execute on function readback.texts_of(regclass), readback.with_texts(jsonb, anyelement, text[]) to readback_reader;
revoke execute on function readback.watch(regclass, text[]), readback.key_of(jsonb, text[]) from public;

do $$
declare watched record;
begin
  for watched in
    select t.tgrelid::regclass as name, convert_from(substring(t.tgargs from 1 for position('\x00' in t.tgargs) - 1), getdatabaseencoding()) as key
    from pg_trigger t where t.tgname = 'readback_change' and t.tgnargs = 1 loop
    perform readback.watch(watched.name, watched.key);
  end loop;
end $$;
