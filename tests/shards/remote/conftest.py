from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.remote.access import Access, Patience
from tests.shards.remote.range_server import RangeServer

HASTE = Patience(request_s=20, give_up_s=60, first_wait_s=0.01, longest_wait_s=0.3)


@pytest.fixture
def server(dataset_root: Path) -> Iterator[RangeServer]:
    """A server of the folder that holds the small dataset; the dataset is `server.url`/dataset."""
    with RangeServer(dataset_root.parent).running() as running:
        yield running


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(cache=tmp_path / "cache", patience=HASTE)
