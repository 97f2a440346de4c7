"""Stored targets: what a teacher says about every named view of a dataset, computed shard by shard, checked and sealed."""
