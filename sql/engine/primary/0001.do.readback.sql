-- What Readback itself needs on the primary: two roles that own nothing, a heartbeat row and an empty publication.

do $$ begin create role readback_writer nologin; exception when duplicate_object or unique_violation then null; end $$;
do $$ begin create role readback_reader nologin; exception when duplicate_object or unique_violation then null; end $$;

grant usage on schema readback to readback_writer, readback_reader;

-- A transaction that touches no published table never moves a replica's position.
-- Writing this row does: it ends a stalled wait, and measures lag while nothing else is written.
create table readback.heartbeat (
  id int primary key default 1 check (id = 1),
  beat_at timestamptz not null default clock_timestamp()
);
insert into readback.heartbeat default values;
grant select, update on readback.heartbeat to readback_writer;

-- Which cluster this is, its timeline, and how far its WAL is flushed.
create function readback.identity(out cluster text, out timeline int, out flushed pg_lsn)
language sql volatile security definer set search_path = pg_catalog as $$
  select (select system_identifier::text from pg_control_system()),
         ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int,
         pg_current_wal_flush_lsn()
$$;

-- At or after the end of every transaction that the calling statement can see: a commit is visible only once flushed.
create function readback.seen() returns pg_lsn language sql volatile as $$ select pg_current_wal_flush_lsn() $$;

-- What the slots hold back, for lag in bytes.
create function readback.slots() returns table (slot text, active boolean, confirmed pg_lsn, held_bytes numeric, wal_status text)
language sql volatile security definer set search_path = pg_catalog as $$
  select slot_name::text, active, confirmed_flush_lsn, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn), wal_status
  from pg_replication_slots where database = current_database() and slot_name like 'readback\_%'
$$;

revoke execute on all functions in schema readback from public;
grant execute on function readback.identity(), readback.seen(), readback.slots() to readback_writer, readback_reader;

create publication readback for table readback.heartbeat;
