"""A small real dataset: three shards of tiny JPEGs with labels, in full blocks and tails."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from shards.adopt import adopt
from shards.dataset import Dataset

SHARD_SIZES = (130, 64, 75)


def tiny_picture(number: int) -> np.ndarray:
    rows, columns = np.mgrid[0 : 20 + number % 3, 0 : 24 + number % 5]
    waves = [128 + 120 * np.sin((number + rows * (k + 1) + columns * 2) / 6) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def make_dataset(root: Path) -> Dataset:
    first = 0
    for shard, size in enumerate(SHARD_SIZES):
        members: dict[str, bytes] = {}
        for number in range(first, first + size):
            members[f"sample-{number:04d}.jpg"] = simplejpeg.encode_jpeg(tiny_picture(number), quality=90)
            members[f"sample-{number:04d}.cls"] = str(number % 10).encode()
        write_shard(root / f"{shard:06d}.tar", members)
        first += size
    adopt(root)
    return Dataset.open(root)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def make_shard() -> Callable[[Path, dict[str, bytes]], None]:
    return write_shard
