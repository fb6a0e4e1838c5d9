-- The last of the primary's readback.partition_changes that was noted before this replica was copied.
alter table readback.log_state add column if not exists partition_changes_to bigint not null default 0;
