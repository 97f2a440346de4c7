"""Offline: raw media -> shards -> teacher targets, on Dask."""
