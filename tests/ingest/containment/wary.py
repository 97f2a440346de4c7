"""The real shard job, but for a crash: one that only happens where a whole shard is encoded in one process, or always."""

import os
from pathlib import Path

from ingest.shard_task import ShardJob
from ingest.stored import EncodedItem

NORMAL = "ingest.shard_task:ShardJob"
WARY = "tests.ingest.containment.wary:WaryShardJob"
CRASHING = "tests.ingest.containment.wary:CrashingShardJob"


class WaryShardJob(ShardJob):
    """Crashes at the last item of a shard unless items are encoded in processes of their own."""

    def __init__(self, dataset: Path, shard: int, source_root: Path) -> None:
        super().__init__(dataset, shard, source_root)
        self._opened_by = os.getpid()

    def encode(self, place: int) -> EncodedItem:
        if place == len(self) - 1 and os.getpid() == self._opened_by:
            os.abort()
        return super().encode(place)


class CrashingShardJob(ShardJob):
    """Crashes at the last item of a shard, wherever it is encoded."""

    def encode(self, place: int) -> EncodedItem:
        if place == len(self) - 1:
            os.abort()
        return super().encode(place)
