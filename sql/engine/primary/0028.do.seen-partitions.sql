-- The partitions of each table that is sent, as they were seen last. What is done to one of them alone (TRUNCATE, DROP,
-- DETACH, ATTACH with rows) PostgreSQL does not replicate: it is found by comparison.
create table if not exists readback.seen_partitions (
  root      oid not null,
  -- 0: the table itself, so that one without partitions is known, too.
  part      oid not null,
  part_name text not null,
  file      oid not null,
  primary key (root, part)
);

-- A replica whose copy is older than one of these holds other rows.
create table if not exists readback.partition_changes (
  id         bigint generated always as identity primary key,
  table_name text not null,
  part_name  text not null,
  what       text not null,
  found_at   timestamptz not null default clock_timestamp()
);

-- One that is made as a partition, and so all that it is in, has nothing that was not sent.
create or replace view readback.partitions as
  with named as (
    select c.oid, case when n.nspname = 'public' then quote_ident(c.relname) else format('%I.%I', n.nspname, c.relname) end as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
  ), roots as (
    select c.oid as root, named.name as table_name
    from pg_publication p join pg_publication_rel r on r.prpubid = p.oid join pg_class c on c.oid = r.prrelid and c.relkind = 'p'
    join named on named.oid = c.oid where p.pubname = 'readback'
  )
  select root, table_name, 0::oid as part, '' as part_name, 0::oid as file, '' as changed_by, true as is_made from roots
  union all
  select r.root, r.table_name, t.relid, named.name, coalesce(pg_relation_filenode(t.relid), 0), c.xmin::text, not exists (
      select from pg_partition_ancestors(t.relid) a join pg_inherits i on i.inhrelid = a.relid
      join pg_class o on o.oid = a.relid join pg_type y on y.oid = o.reltype
      where a.relid <> r.root and i.xmin <> y.xmin)
  from roots r cross join lateral pg_partition_tree(r.root) t join pg_class c on c.oid = t.relid join named on named.oid = c.oid
  where t.isleaf and t.relid <> r.root;

-- Whether rows are in it that were there before it became a partition, or came with that: nothing has sent them.
create or replace function readback.has_brought_rows(part oid) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare has_rows boolean;
begin
  if (select relkind from pg_class where oid = part) <> 'r' then return true; end if;
  execute format('select exists (select from %s t where age(t.xmin) >= (select age(i.xmin) from pg_inherits i where i.inhrelid = %s))', part::regclass, part)
    into has_rows;
  return has_rows;
exception when insufficient_privilege then
  return true; -- better told in vain than not at all
end $$;

-- Notes what has changed since it was called last, and returns all that was ever noted; several servers may call it at
-- once. TRUNCATE of the whole table, which is sent, changes the files of all partitions in one transaction.
create or replace function readback.see_partitions() returns setof readback.partition_changes
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('readback.partitions', 0));
  if exists ((select root, part, file from readback.partitions except select root, part, file from readback.seen_partitions) union all
             (select root, part, file from readback.seen_partitions except select root, part, file from readback.partitions)) then
    insert into readback.partition_changes (table_name, part_name, what)
      select r.table_name, s.part_name, 'dropped or detached'
        from readback.seen_partitions s join readback.partitions r on r.root = s.root and r.part = 0
        where s.part <> 0 and not exists (select from readback.partitions n where n.root = s.root and n.part = s.part)
      union all
      select n.table_name, n.part_name, 'truncated, or its file was written again'
        from readback.partitions n join readback.seen_partitions s using (root, part)
        where n.file <> s.file and not (
          select count(*) > 1 and bool_and(o.file <> p.file) and count(distinct o.changed_by) = 1
          from readback.partitions o join readback.seen_partitions p using (root, part) where o.root = n.root and o.part <> 0)
      union all
      select n.table_name, n.part_name, 'attached with rows'
        from readback.partitions n
        where n.part <> 0 and not n.is_made and exists (select from readback.seen_partitions s where s.root = n.root and s.part = 0)
          and not exists (select from readback.seen_partitions s where s.root = n.root and s.part = n.part)
          and case when not n.is_made then readback.has_brought_rows(n.part) end;
    delete from readback.seen_partitions;
    insert into readback.seen_partitions select root, part, part_name, file from readback.partitions;
  end if;
  return query select * from readback.partition_changes order by id;
end $$;
revoke execute on function readback.has_brought_rows(oid), readback.see_partitions() from public;
grant execute on function readback.see_partitions() to readback_writer;
