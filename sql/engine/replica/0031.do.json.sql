-- A json column holds a text, of which jsonb takes some in no form, such as "\u0000" and 1e999999, and others in another
-- one: what the log has of it is that text. These are the columns that hold json, by themselves or inside, and are not
-- logged as PostgreSQL's text of them.
create or replace function readback.jsons_of(watched regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive parts as (
    select a.attname, a.attnum, a.atttypid as type from pg_attribute a
    where a.attrelid = watched and a.attnum > 0 and not a.attisdropped and a.attname <> all(readback.texts_of(watched))
    union
    select p.attname, p.attnum, i.type from parts p join pg_type t on t.oid = p.type cross join lateral (
      select t.typbasetype as type where t.typtype = 'd'
      union all select t.typelem where t.typcategory = 'A'
      union all select a.atttypid from pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) i)
  select array(select attname::text from parts where type = 'json'::regtype order by attnum)
$$;

-- Of columns that are of domains: whether one of them may take no null.
create or replace function readback.takes_nulls(watched regclass, names text[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive domains as (
    select t.* from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = watched and a.attname = any(names) and t.typtype = 'd'
    union all
    select t.* from domains d join pg_type t on t.oid = d.typbasetype where t.typtype = 'd')
  select not exists (select from domains d where d.typnotnull or exists (select from pg_constraint where contypid = d.oid))
$$;

-- The image of a row in SQL, for format(): %1$s is what stands before a dot and a column, %2$s the whole row. Null: it is
-- that of to_jsonb. That fails for what jsonb cannot hold, and with it the apply worker, so the columns that are logged as
-- texts are made null before; where one of them takes no null, the others are named, which takes longer. The image lists
-- those that are JSON under the name that no column has.
create or replace function readback.image_sql(watched regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  with apart as (
    select texts || jsons as names, jsons from readback.texts_of(watched) texts, readback.jsons_of(watched) jsons
  ), logged as (
    select a.attnum as n, replace(a.attname, '%', '%%') as name, a.attname = any(names) as is_apart, a.attname = any(jsons) as is_json
    from apart, pg_attribute a where a.attrelid = watched and a.attnum > 0 and not a.attisdropped
  )
  select concat_ws(' || ',
    case when readback.takes_nulls(watched, (select names from apart)) then
      format('to_jsonb(jsonb_populate_record(%%2$s, %L))', jsonb_object_agg(name, null) filter (where is_apart))
    else
      format('(select to_jsonb(r.*) from (select %s) r)', string_agg(format('%%1$s.%I', name), ', ' order by n) filter (where not is_apart))
    end,
    format('jsonb_object(array[%s], array[%s])',
      string_agg(quote_literal(name), ', ' order by n) filter (where is_apart),
      string_agg(format(case when is_json then 'to_json(%%1$s.%I)::text' else '%%1$s.%I::text' end, name), ', ' order by n) filter (where is_apart)),
    case when bool_or(is_json) then format('%L::jsonb', jsonb_build_object('', jsonb_agg(name order by n) filter (where is_json))) end)
  from logged having bool_or(is_apart)
$$;
revoke execute on function readback.jsons_of(regclass), readback.takes_nulls(regclass, text[]), readback.image_sql(regclass) from public;

-- Row trigger; arguments: the table's name in the log, and the columns of its key; then, where it has columns that are
-- logged as texts, an empty text and what readback.image_sql says.
create or replace function readback.log_change() returns trigger language plpgsql as $$
declare old_image jsonb; new_image jsonb; old_key text; new_key text; split int; key text[]; image text;
begin
  if coalesce(current_setting('readback.logging', true), '') = 'true' or readback.logs_changes() then
    if tg_nargs > 2 then
      key := tg_argv[1:];
      split := array_position(key, '');
    end if;
    if split is null then
      if tg_op <> 'INSERT' then old_image := to_jsonb(old); end if;
      if tg_op <> 'DELETE' then new_image := to_jsonb(new); end if;
    else
      image := key[split + 1];
      key := key[:split - 1];
      if tg_op = 'INSERT' then
        execute format('select ' || image, '($1)', '$1') into new_image using new;
      elsif tg_op = 'DELETE' then
        execute format('select ' || image, '($1)', '$1') into old_image using old;
      else
        execute format('select %s, %s', format(image, '($1)', '$1'), format(image, '($2)', '$2')) into old_image, new_image using old, new;
      end if;
    end if;
    if tg_nargs = 2 then
      old_key := old_image ->> tg_argv[1];
      new_key := new_image ->> tg_argv[1];
    else
      old_key := readback.key_of(old_image, key);
      new_key := readback.key_of(new_image, key);
    end if;
    insert into readback.change_log (after_lsn, operation, table_name, key, former_key, before, after)
    values (coalesce(nullif(current_setting('readback.after', true), '')::pg_lsn, readback.after_lsn()), tg_op, tg_argv[0],
            coalesce(new_key, old_key), case when tg_op = 'UPDATE' then nullif(old_key, new_key) end, old_image, new_image);
  end if;
  return null;
end $$;

-- Statement trigger before TRUNCATE: every row that goes is told as deleted. A column may have the name of the alias, so
-- that a row is written as what it is.
create or replace function readback.log_truncate() returns trigger language plpgsql as $$
declare key text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); image text := 'to_jsonb(%2$s)';
begin
  if readback.logs_changes() then
    if split is not null then
      image := key[split + 1];
      key := key[:split - 1];
    end if;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select $3, ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      format(image, 't', 't.*'), (select string_agg(format('t.%I', c), ', ' order by n) from unnest(key) with ordinality k(c, n)),
      tg_table_schema, tg_table_name) using tg_argv[0], key, readback.after_lsn();
  end if;
  return null;
end $$;

-- Puts both triggers on a table. ENABLE ALWAYS: else they do not fire in the apply worker.
create or replace function readback.watch(watched regclass, variadic key text[]) returns void language plpgsql as $$
declare arguments text; image text := readback.image_sql(watched);
begin
  if image is not null then key := key || array['', image]; end if;
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

-- Tables that are watched as they once were get their triggers again. The arguments of a trigger are texts that each end
-- in a byte of zeros.
create or replace function readback.watch_again() returns void language plpgsql as $$
declare one record; split int;
begin
  for one in
    select t.tgrelid::regclass as name, readback.image_sql(t.tgrelid) as image, array(
      select convert_from(decode(m[1], 'hex'), getdatabaseencoding())
      from regexp_matches(encode(t.tgargs, 'hex'), '((?:(?!00)..)*)00', 'g') with ordinality r(m, n) order by n) as arguments
    from pg_trigger t where t.tgname = 'readback_change' and t.tgparentid = 0 loop
    split := array_position(one.arguments, '');
    continue when one.image is not distinct from one.arguments[split + 1] and cardinality(one.arguments) = coalesce(split + 1, cardinality(one.arguments));
    perform readback.watch(one.name, variadic one.arguments[2:coalesce(split - 1, cardinality(one.arguments))]);
  end loop;
end $$;
revoke execute on function readback.watch_again() from public;
select readback.watch_again();
