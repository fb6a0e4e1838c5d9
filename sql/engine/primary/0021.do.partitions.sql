-- A partitioned table is one table for its replicas, whatever its partitions are.
alter publication readback set (publish_via_partition_root = true);
