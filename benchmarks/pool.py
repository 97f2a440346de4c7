"""The same ingest as `maskloom ingest`, with a bare process pool where the command has Dask.

python -m benchmarks.pool SOURCE DATASET --image-size 256 --jpeg-quality 90 --shard-size 256 --workers 2
"""

from __future__ import annotations

import argparse
import multiprocessing
from functools import partial
from pathlib import Path

import torch

from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.run import origin_of
from ingest.settings import IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.folder import FolderSource
from shards.manifest import seal


def ingest_with_pool(source: Path, dataset: Path, settings: IngestSettings, workers: int) -> None:
    """Plan, write all shards with a pool of forked processes, and seal."""
    listed = FolderSource(source, folder_labels=False)
    plan = make_plan(listed.scan(), settings)
    dataset.mkdir(parents=True)
    commit_plan(dataset, plan)
    with multiprocessing.Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.imap_unordered(partial(write_shard, dataset, source_root=source), range(plan.num_shards)):
            pass
        # Leaving the block kills the workers; joined, their CPU-seconds are counted.
        pool.close()
        pool.join()
    seal(dataset, origin_of(listed, plan))


def main() -> None:
    """Run one ingest."""
    command = argparse.ArgumentParser(description="Ingest a folder with a bare process pool.")
    command.add_argument("source", type=Path)
    command.add_argument("dataset", type=Path)
    for option in ("--image-size", "--jpeg-quality", "--shard-size", "--workers"):
        command.add_argument(option, type=int, required=True)
    arguments = command.parse_args()
    settings = IngestSettings(
        image_size=arguments.image_size, jpeg_quality=arguments.jpeg_quality, shard_size=arguments.shard_size
    )
    ingest_with_pool(arguments.source, arguments.dataset, settings, arguments.workers)


if __name__ == "__main__":
    main()
