-- A json column holds its text, of which jsonb takes some in no form, such as "\u0000" and 1e999999, and others in another
-- one: what an image has of it is that text. Columns that are not logged as PostgreSQL's text, and hold json inside.
create or replace function readback.jsons_of(watched regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive parts as (
    select a.attname, a.attnum, a.atttypid as type from pg_attribute a
    where a.attrelid = watched and a.attnum > 0 and not a.attisdropped and a.attname <> all(readback.texts_of(watched))
    union
    select p.attname, p.attnum, inner_types.type from parts p join pg_type t on t.oid = p.type cross join lateral (
      select t.typbasetype as type where t.typtype = 'd'
      union all select t.typelem where t.typcategory = 'A'
      union all select a.atttypid from pg_attribute a
        where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) inner_types)
  select array(select attname::text from parts where type = 'json'::regtype order by attnum)
$$;

-- The image of a row whose columns are not all made JSON of: `texts` are PostgreSQL's text of theirs, and `jsons`, which
-- the image lists under the name that no column has, the text of their JSON. The row is made jsonb without them, since
-- that fails where jsonb cannot hold a value, and with it the apply worker.
create or replace function readback.image_of(logged anyelement, relation oid, texts text[], jsons text[]) returns jsonb
language plpgsql as $$
declare apart text[] := texts || jsons; image jsonb; name text; value text;
begin
  begin
    image := to_jsonb(jsonb_populate_record(logged, jsonb_object(apart, array_fill(null::text, array[cardinality(apart)]))));
  exception when integrity_constraint_violation then
    -- A domain takes no null. To name all of the others costs twice as much.
    execute (
      select format('select to_jsonb(r.*) from (select %s) r', string_agg(format('($1).%I', attname), ', ' order by attnum))
      from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped and attname <> all(apart)
    ) into image using logged;
  end;
  if cardinality(jsons) > 0 then image := image || jsonb_build_object('', jsons); end if;
  foreach name in array jsons loop
    execute format('select to_json(($1).%I)::text', name) into value using logged;
    image := image || jsonb_build_object(name, value);
  end loop;
  return readback.with_texts(image, logged, texts);
end $$;
revoke execute on function readback.jsons_of(regclass), readback.image_of(anyelement, oid, text[], text[]) from public;

-- Row trigger; arguments: the table's name in the log, and the columns of its key; then, where there are any, an empty
-- text and the columns that are logged as text, and another one and those that are logged as the text of their JSON.
create or replace function readback.log_change() returns trigger language plpgsql as $$
declare old_image jsonb; new_image jsonb; old_key text; new_key text; split int; key text[]; texts text[]; jsons text[] := '{}';
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
      texts := key[split + 1:];
      key := key[:split - 1];
      split := array_position(texts, '');
      if split is not null then
        jsons := texts[split + 1:];
        texts := texts[:split - 1];
      end if;
      if tg_op <> 'INSERT' then old_image := readback.image_of(old, tg_relid, texts, jsons); end if;
      if tg_op <> 'DELETE' then new_image := readback.image_of(new, tg_relid, texts, jsons); end if;
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
declare key text[] := tg_argv[1:]; split int := array_position(tg_argv[1:], ''); texts text[]; jsons text[] := '{}'; image text := 'to_jsonb(t.*)';
begin
  if readback.logs_changes() then
    if split is not null then
      texts := key[split + 1:];
      key := key[:split - 1];
      split := array_position(texts, '');
      if split is not null then
        jsons := texts[split + 1:];
        texts := texts[:split - 1];
      end if;
      image := 'readback.image_of(t.*, $4, $5, $6)';
    end if;
    execute format(
      'insert into readback.change_log (after_lsn, operation, table_name, key, before)
       select $3, ''DELETE'', $1, readback.key_of(i, $2), i
       from (select %s as i, row_number() over (order by %s) as n from %I.%I t) r order by n',
      image, (select string_agg(format('t.%I', c), ', ' order by n) from unnest(key) with ordinality k(c, n)),
      tg_table_schema, tg_table_name) using tg_argv[0], key, readback.after_lsn(), tg_relid, texts, jsons;
  end if;
  return null;
end $$;

-- Puts both triggers on a table. ENABLE ALWAYS: else they do not fire in the apply worker.
create or replace function readback.watch(watched regclass, variadic key text[]) returns void language plpgsql as $$
declare arguments text; texts text[] := readback.texts_of(watched); jsons text[] := readback.jsons_of(watched);
begin
  if cardinality(texts || jsons) > 0 then key := key || array[''] || texts; end if;
  if cardinality(jsons) > 0 then key := key || array[''] || jsons; end if;
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

-- The tables that are watched already. The arguments of a trigger are texts that each end in a byte of zeros.
do $$
declare watched record;
begin
  for watched in
    select t.tgrelid::regclass as name, array(
      select convert_from(decode(a[1], 'hex'), getdatabaseencoding())
      from regexp_matches(encode(t.tgargs, 'hex'), '((?:(?!00)..)*)00', 'g') with ordinality m(a, n) order by n) as arguments
    from pg_trigger t where t.tgname = 'readback_change' and t.tgparentid = 0 and cardinality(readback.jsons_of(t.tgrelid)) > 0 loop
    perform readback.watch(watched.name, variadic
      watched.arguments[2:coalesce(array_position(watched.arguments, '') - 1, cardinality(watched.arguments))]);
  end loop;
end $$;
