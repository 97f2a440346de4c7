import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import StorageError
from shards.remote.block_cache import Block, BlockCache

TRAILER = 32


def name_of(number: int) -> str:
    return f"{number:032x}"


def content(number: int, size: int = 1000) -> bytes:
    return bytes([number % 251]) * size


def fetched(number: int, calls: list[int], size: int = 1000) -> Callable[[], bytes]:
    def fetch() -> bytes:
        calls.append(number)
        return content(number, size)

    return fetch


def text(block: Block) -> bytes:
    return block.pread(1 << 30, 0)


def blocks_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("blocks/*/*") if path.is_file()]


def test_a_block_is_fetched_once_by_any_number_of_users_of_a_folder(tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(3):
        assert text(BlockCache(tmp_path, 1 << 20).open(name_of(1), fetched(1, calls))) == content(1)
    assert calls == [1]


def test_threads_that_want_the_same_block_wait_for_one(tmp_path: Path) -> None:
    calls: list[int] = []

    def slow() -> bytes:
        time.sleep(0.05)
        return fetched(1, calls)()

    cache = BlockCache(tmp_path, 1 << 20)
    threads = [threading.Thread(target=cache.open, args=(name_of(1), slow)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


def test_the_bound_holds_at_any_time_and_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    limit = 10 * (1000 + TRAILER)
    cache, calls = BlockCache(tmp_path, limit), list[int]()
    for number in range(1, 41):
        cache.open(name_of(number), fetched(number, calls))
        os.utime(cache._path(name_of(number)), ns=(number * 10**9, number * 10**9))
        cache.open(name_of(1), fetched(1, calls))
        assert sum(path.stat().st_size for path in blocks_in(tmp_path)) <= limit
    assert calls == list(range(1, 41)), "block 1, always in use, was evicted"


@pytest.mark.parametrize("left", [None, b"", b"half a num"])
def test_the_bound_holds_when_nobody_knows_how_much_is_used(tmp_path: Path, left: bytes | None) -> None:
    limit = 5 * (1000 + TRAILER)
    cache = BlockCache(tmp_path, limit)
    for number in range(5):
        cache.open(name_of(number), fetched(number, []))
    usage = tmp_path / str(os.getuid()) / "usage"
    usage.unlink() if left is None else usage.write_bytes(left)
    for number in range(5, 10):
        cache.open(name_of(number), fetched(number, []))
        assert sum(path.stat().st_size for path in blocks_in(tmp_path)) <= limit


def test_a_block_that_is_open_stays_readable_when_it_is_evicted(tmp_path: Path) -> None:
    cache, calls = BlockCache(tmp_path, 2 * (1000 + TRAILER)), list[int]()
    first = cache.open(name_of(1), fetched(1, calls))
    for number in range(2, 9):
        cache.open(name_of(number), fetched(number, calls))
    assert not cache._path(name_of(1)).exists()
    assert text(first) == content(1)


def test_a_block_that_is_larger_than_the_cache_is_handed_out_and_not_kept(tmp_path: Path) -> None:
    cache, calls = BlockCache(tmp_path, 100), list[int]()
    for _ in range(2):
        assert text(cache.open(name_of(1), fetched(1, calls))) == content(1)
    assert calls == [1, 1] and blocks_in(tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
)
def test_a_damaged_block_is_fetched_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    calls: list[int] = []
    path = BlockCache(tmp_path, 1 << 20)._path(name_of(1))
    BlockCache(tmp_path, 1 << 20).open(name_of(1), fetched(1, calls))
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert text(BlockCache(tmp_path, 1 << 20).open(name_of(1), fetched(1, calls))) == content(1)
    assert calls == [1, 1]


def test_a_fetch_that_fails_leaves_nothing_and_blocks_nobody(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 1 << 20)

    def fail() -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.open(name_of(1), fail)
    assert blocks_in(tmp_path) == []
    assert text(cache.open(name_of(1), fetched(1, []))) == content(1)


def test_only_files_of_the_cache_are_ever_deleted(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, 3 * (1000 + TRAILER))
    cache.open(name_of(1), fetched(1, []))
    mine = tmp_path / str(os.getuid()) / "blocks" / "00"
    foreign = [tmp_path / "photo.jpg", mine / "notes.txt", mine / f"{name_of(5)}.tar", mine.parent / name_of(9)]
    stale, fresh = mine / f"{name_of(7)}.{name_of(8)}.part", mine / f"{name_of(7)}.{name_of(9)}.part"
    for path in (*foreign, stale, fresh):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(500))
    os.utime(stale, (0, 0))
    for number in range(10, 20):
        cache.open(name_of(number), fetched(number, []))
    assert all(path.exists() for path in (*foreign, fresh)) and not stale.exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"Cannot write .*file"):
        BlockCache(tmp_path / "file", 1000).open(name_of(1), fetched(1, []))
