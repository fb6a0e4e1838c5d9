import type { Sql, Statement } from '../../database/connect.ts';
import { arrayText } from '../../declare/kinds.ts';
import { SENDING, type Sending } from '../../setup/breaking.ts';

/** A table of the primary, as its catalog has it. */
export interface Found extends Sending {
  schema: string;
  /** Its bare name, and the one that SQL takes: in `public` without the schema. */
  bare: string;
  hasRowSecurity: boolean;
  inherits: boolean;
  columns: FoundColumn[];
  constraints: { name: string; definition: string; kind: 'p' | 'u' | 'f'; target: string | null }[];
  references: Reference[];
  /** Those whose functions run as whoever writes. */
  triggers: { name: string; function: string; source: string }[];
}

export interface FoundColumn {
  name: string;
  /** As declarations of tables have it, and of a domain the type below it. */
  type: string;
  base: string;
  /** Of an enum, or of an array of one. */
  labels: string[] | null;
  /** 0: it is no array. */
  dimensions: number;
  /** An array whose elements JSON has as objects: composite values, hstore. */
  isOfObjects: boolean;
  isNullable: boolean;
  default: string | null;
  /** The default is the same for every row. */
  isConstant: boolean;
  isIdentity: boolean;
  isGenerated: boolean;
  /** The columns that a stored generated one reads; null: its expression needs what other databases may not have, or it is virtual. */
  reads: string[] | null;
  /** The sequence that a default takes its values from. */
  sequence: string | null;
  /** Types that the database must have before the table. */
  needs: Needed[];
}

export interface Needed {
  kind: 'schema' | 'extension' | 'enum' | 'domain' | 'composite' | 'other';
  name: string;
  /** Creates it; '' where only the database's own makers know how. */
  ddl: string;
}

/** A foreign key of one column or several. */
export interface Reference {
  columns: string[];
  table: string;
  /** The columns that those name there, in the same order. */
  targets: string[];
  isToKey: boolean;
}

/** Types that the database must have before a table has columns of them. */
const NEEDED = String.raw`
  select t.oid,
    case when e.extname is not null then 'extension' when t.typtype = 'e' then 'enum' when t.typtype = 'd' then 'domain'
         when t.typtype = 'c' then 'composite' else 'other' end as kind,
    case when e.extname is not null then e.extname::text else format('%I.%I', n.nspname, t.typname) end as name,
    case when e.extname is not null then format('create extension if not exists %I with schema %I', e.extname, en.nspname)
         when t.typtype = 'e' then format('create type %I.%I as enum (%s)', n.nspname, t.typname,
           (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid))
         when t.typtype = 'd' then format('create domain %I.%I as %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
         when t.typtype = 'c' then format('create type %I.%I as (%s)', n.nspname, t.typname,
           (select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
            from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped))
         else '' end as ddl,
    n.nspname as schema
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  left join pg_depend x on x.classid = 'pg_type'::regclass and x.objid = t.oid and x.deptype = 'e'
  left join pg_extension e on e.oid = x.refobjid left join pg_namespace en on en.oid = e.extnamespace
  where n.nspname <> 'pg_catalog'`;

/** Of the column a: what its type is made of comes before it. */
const NEEDS = `
  with recursive used as (
    select a.atttypid as oid, 0 as depth
    union select part.oid, used.depth + 1 from used join pg_type t on t.oid = used.oid cross join lateral (
      select t.typbasetype as oid where t.typtype = 'd'
      union select t.typelem where t.typcategory = 'A'
      union select rngsubtype from pg_range where rngtypid = t.oid
      union select atttypid from pg_attribute where t.typtype = 'c' and attrelid = t.typrelid and attnum > 0 and not attisdropped) part)
  select coalesce(json_agg(json_build_object('kind', q.kind, 'name', q.name, 'ddl', q.ddl) order by q.depth desc nulls first), '[]') from (
    select null as depth, 'schema' as kind, quote_ident(needed.schema) as name, format('create schema if not exists %I', needed.schema) as ddl
      from needed join used using (oid) where needed.schema not in ('public', 'readback') group by needed.schema
    union all select max(used.depth), needed.kind, needed.name, needed.ddl from needed join used using (oid)
      where needed.kind <> 'other' group by needed.kind, needed.name, needed.ddl) q`;

/** Of the element of an array. */
const OBJECTS = `
  with recursive parts as (
    select oid, typtype, typbasetype from pg_type where oid = u.element
    union all select t.oid, t.typtype, t.typbasetype from parts join pg_type t on t.oid = parts.typbasetype where parts.typtype = 'd')
  select coalesce(bool_or(typtype = 'c' or oid not in ('json'::regtype, 'jsonb'::regtype)
    and exists (select from pg_cast where castsource = parts.oid and casttarget = 'json'::regtype)), false) from parts`;

/** What the element of an array is, where it is of a domain; null: it is no array. */
const ELEMENT = `
  with recursive parts as (
    select oid, typtype, typbasetype from pg_type where oid = u.element
    union all select t.oid, t.typtype, t.typbasetype from parts join pg_type t on t.oid = parts.typbasetype where parts.typtype = 'd')
  select oid from parts where typtype <> 'd'`;

/** A constant, and what it is cast to. `now` and the like are texts until the row is written: as types they are moments already. */
const CONSTANT = String.raw`
  pg_get_expr(d.adbin, d.adrelid) ~ $r$^(- |[(])*('([^']|'')*'|-?[0-9.]+|true|false|NULL)([)]|::|"([^"]|"")*"|[\w .[\]]|[(]\d+(,-?\d+)?[)])*$$r$
  and pg_get_expr(d.adbin, d.adrelid) !~* $r$^[(]+'\s*(now|today|tomorrow|yesterday)$r$`;

/** Of the table c. */
const COLUMNS = String.raw`
  select json_agg(json_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', coalesce(format_type((${ELEMENT}), null) || '[]', format_type(coalesce(u.base, a.atttypid), null)),
      'labels', (select json_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid in (u.base, u.element)),
      'dimensions', case when u.element is null then 0 else greatest(a.attndims, 1) end, 
      'isOfObjects', (${OBJECTS}), 'isNullable', not a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid),
      'isConstant', d.oid is not null and (${CONSTANT}),
      'isIdentity', a.attidentity <> '', 'isGenerated', a.attgenerated <> '',
          'reads', case when a.attgenerated = 's' and not exists (
              select from pg_depend x where x.classid = 'pg_attrdef'::regclass and x.objid = d.oid
                and not (x.refclassid = 'pg_class'::regclass and x.refobjid = a.attrelid)) then (
            select coalesce(json_agg(distinct r.attname), '[]') from pg_depend x join pg_attribute r on r.attrelid = x.refobjid and r.attnum = x.refobjsubid
            where x.classid = 'pg_attrdef'::regclass and x.objid = d.oid and x.refobjid = a.attrelid and x.refobjsubid <> a.attnum) end,
      'sequence', (select format('%I.%I', sn.nspname, s.relname) from pg_depend y join pg_class s on s.oid = y.refobjid and s.relkind = 'S'
        join pg_namespace sn on sn.oid = s.relnamespace where y.classid = 'pg_attrdef'::regclass and y.objid = d.oid limit 1),
      'needs', (${NEEDS})
    ) order by a.attnum)
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  cross join lateral (
    with recursive bases as (
      select t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory from pg_type t where t.oid = a.atttypid
      union all select t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory from bases join pg_type t on t.oid = bases.typbasetype where bases.typtype = 'd')
    select oid as base, case when typcategory = 'A' then typelem end as element from bases where typtype <> 'd' limit 1) u
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped`;

const CONSTRAINTS = `
  select coalesce(json_agg(json_build_object('name', quote_ident(k.conname), 'definition', pg_get_constraintdef(k.oid), 'kind', k.contype,
      'target', case when k.contype = 'f' then format('%I.%I', fn.nspname, f.relname) end) order by k.contype = 'p' desc, k.conname), '[]')
  from pg_constraint k left join pg_class f on f.oid = k.confrelid left join pg_namespace fn on fn.oid = f.relnamespace
  where k.conrelid = c.oid and k.contype in ('p', 'u', 'f') and k.conparentid = 0`;

const REFERENCES = `
  select coalesce(json_agg(json_build_object(
      'columns', (select json_agg(attname order by array_position(k.conkey, attnum)) from pg_attribute where attrelid = c.oid and attnum = any(k.conkey)),
      'targets', (select json_agg(attname order by array_position(k.confkey, attnum)) from pg_attribute where attrelid = k.confrelid and attnum = any(k.confkey)),
      'table', case when fn.nspname = 'public' then quote_ident(f.relname) else format('%I.%I', fn.nspname, f.relname) end,
      'isToKey', exists (select from pg_constraint pk where pk.conrelid = k.confrelid and pk.contype = 'p' and pk.conkey = k.confkey)) order by k.conname), '[]')
  from pg_constraint k join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
  where k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0`;

const TRIGGERS = `
  select coalesce(json_agg(json_build_object('name', g.tgname, 'function', f.oid::regprocedure::text, 'source', f.prosrc) order by g.tgname), '[]')
  from pg_trigger g join pg_proc f on f.oid = g.tgfoid join pg_language l on l.oid = f.prolang
  where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('O', 'A') and not f.prosecdef and l.lanname = 'plpgsql'`;

const TABLES = `
  with needed as (${NEEDED})
  select n.nspname as schema, c.relname as bare,
    case when n.nspname = 'public' then quote_ident(c.relname) else format('%I.%I', n.nspname, c.relname) end as table,
    c.relrowsecurity as has_row_security,
    exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid and c.relkind = 'r') as inherits,
    (${COLUMNS}) as columns,
    ${SENDING},
    (${CONSTRAINTS}) as constraints, (${REFERENCES}) as references, (${TRIGGERS}) as triggers
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
    and n.nspname not in ('pg_catalog', 'information_schema', 'readback') and n.nspname !~ '^pg_'
    and not exists (select from pg_depend x where x.classid = 'pg_class'::regclass and x.objid = c.oid and x.deptype = 'e')
  order by n.nspname <> 'public', n.nspname, c.relname`;

/** Tables that are the project's own: neither PostgreSQL's nor Readback's, nor an extension's, nor a part of another. */
export async function tablesOf(primary: Sql, schemas: readonly string[] | null): Promise<Found[]> {
  const rows = await primary.unsafe<Found[]>(TABLES);
  return schemas === null ? rows : rows.filter(({ schema }) => schemas.includes(schema));
}

/** What has a table's name, and is none that could be taken. */
export interface OtherRelation {
  /** As it was asked for. */
  name: string;
  table: string;
  kind: 'view' | 'materialized view' | 'foreign table' | 'sequence' | 'partition';
  /** Of a partition: the table that it is of. */
  whole: string | null;
}

/** Of that name, with its schema or without. */
export const othersNamed = (primary: Sql, names: readonly string[]): Statement<OtherRelation> => primary<
  OtherRelation[]
>`
  select name, format('%I.%I', n.nspname, c.relname) as table, pg_partition_root(c.oid)::regclass::text as whole,
    case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
      when 'S' then 'sequence' else 'partition' end as kind
  from unnest(${arrayText(names)}::text[]) name
  join (pg_class c join pg_namespace n on n.oid = c.relnamespace) on name in
    (c.relname, quote_ident(c.relname), n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname))
  where c.relkind in ('v', 'm', 'f', 'S') or c.relkind in ('r', 'p') and c.relispartition
  order by n.nspname <> 'public', n.nspname, c.relname`;
