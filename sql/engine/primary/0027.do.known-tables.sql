-- The tables that are sent, as the latest migration left them: what somebody has changed since by other ways is found by
-- comparison. A table that is renamed keeps its oid, and a column its number.
create table if not exists readback.known_tables (
  table_name text primary key,
  relid      oid not null,
  columns    jsonb not null
);
grant select on readback.known_tables to readback_writer, readback_reader;
