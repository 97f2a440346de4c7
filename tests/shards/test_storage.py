import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from shards.errors import StorageError
from shards.sample import Provenance, Sample
from shards.shard_writer import Member, ShardWriter
from shards.storage import canonical_json, create_if_absent, replace_file
from shards.tar import TarWriter


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Make the operating system itself refuse to write more than `size` bytes to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_of_racing_writers_exactly_one_creates_the_file(tmp_path: Path) -> None:
    start = Barrier(8)

    def race(number: int) -> bool:
        start.wait()
        return create_if_absent(tmp_path, tmp_path / "one.json", b"%d" % number)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            (tmp_path / "one.json").unlink(missing_ok=True)
            won = list(threads.map(race, range(8)))
            assert won.count(True) == 1
            assert (tmp_path / "one.json").read_bytes() == b"%d" % won.index(True)


def test_of_racing_processes_exactly_one_creates_the_file(tmp_path: Path) -> None:
    children = []
    for number in range(6):
        pid = os.fork()
        if pid == 0:
            won = create_if_absent(tmp_path, tmp_path / "one.json", b"%d" % number)
            os._exit(10 + won)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert sorted(codes) == [10] * 5 + [11]
    assert (tmp_path / "one.json").read_bytes() == b"%d" % codes.index(11)


def test_nothing_temporary_is_left_behind(tmp_path: Path) -> None:
    create_if_absent(tmp_path, tmp_path / "one.json", b"first")
    create_if_absent(tmp_path, tmp_path / "one.json", b"second")
    replace_file(tmp_path, tmp_path / "two.json", b"third")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one.json", "two.json"]
    assert (tmp_path / "one.json").read_bytes() == b"first"


def test_a_disk_that_fills_up_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"No space left while writing .*free some space"), no_file_larger_than(100):
        replace_file(tmp_path, tmp_path / "one.json", bytes(1000))
    assert not (tmp_path / "one.json").exists()


def test_a_disk_that_fills_up_under_a_shard_stays_one_error(tmp_path: Path) -> None:
    """The buffered bytes of the tar cannot be flushed when it is closed, either; that must not hide the error."""
    data = bytes(1_500_000)
    with (
        pytest.raises(StorageError, match="No space left"),
        no_file_larger_than(2_000_000),
        ShardWriter(tmp_path, shard=0, plan_id="p", fields={"text": "text"}) as writer,
    ):
        for key in ("a", "b", "c"):
            writer.add(
                Sample(key, {"text": data}),
                {"text": Member(extension="txt", sha256=b"")},
                Provenance(source="s", licence=None),
            )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_tar_that_cannot_be_flushed_is_still_closed(tmp_path: Path) -> None:
    with (
        no_file_larger_than(100),
        pytest.raises(OSError, match="File too large"),
        TarWriter(tmp_path / "a.tar") as writer,
    ):
        writer.add("a.txt", bytes(2_000_000))
    assert writer._file.closed


@pytest.mark.parametrize("folder", ["/proc/nowhere/dataset", "{file}/dataset"])
def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = Path(folder.format(file=tmp_path / "file"))
    with pytest.raises(StorageError, match=f"Cannot write {path}"):
        create_if_absent(path, path / "one.json", b"")


def test_json_is_the_same_whatever_the_order_of_its_names() -> None:
    assert (
        canonical_json({"b": 1, "a": "é"})
        == canonical_json({"a": "é", "b": 1})
        == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()
    )
