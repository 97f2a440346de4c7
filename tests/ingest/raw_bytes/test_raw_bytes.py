import errno
import os
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.items import Part, RawItem
from ingest.plan import PlannedItem
from ingest.raw import Raw
from ingest.raw_bytes import RawBytes
from ingest.raw_bytes.cells import read_cells
from ingest.raw_bytes.fetch import Fetched
from ingest.raw_bytes.held import MEMORY_BYTES
from ingest.raw_bytes.windows import Windows
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.errors import SourceError
from shards.schema import RejectReason
from tests.ingest.listing import contents, listed, opened, raw_bytes
from tests.ingest.pictures import jpeg, write_files


def part_of(path: Path, **places: object) -> Part:
    status = path.stat()
    known = {"size": status.st_size, "modified_ns": status.st_mtime_ns} | places
    return Part(field="video", kind="video", uri=path.name, **known)  # type: ignore[arg-type]


def reason(raw: RawBytes, part: Part) -> str:
    with pytest.raises(Rejection) as caught:
        raw.read(part)
    return caught.value.reason.value


def test_a_file_is_opened_as_often_as_needed_and_searched(tmp_path: Path) -> None:
    content = os.urandom(MEMORY_BYTES + 10)
    write_files(tmp_path, {"large.mp4": content, "small.mp4": content[:100]})
    raw = RawBytes(tmp_path, [], Limits())
    for name in ("large.mp4", "small.mp4"):
        expected = (tmp_path / name).read_bytes()
        found = raw.raw(part_of(tmp_path / name))
        assert (found.size, found.extension, found.read()) == (len(expected), "mp4", expected)
        with found.open() as first, found.open() as second:
            first.seek(-7, os.SEEK_END)
            assert (first.read(), second.read(5)) == (expected[-7:], expected[:5])
            second.seek(10)
            second.seek(2, os.SEEK_CUR)
            assert (second.read(4), second.tell()) == (expected[12:16], 16)


def test_a_large_file_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "v.mp4").open("wb") as file:
        file.truncate(4 << 30)
        file.seek(3 << 30)
        file.write(b"far away")
    raw = RawBytes(tmp_path, [], Limits()).raw(part_of(tmp_path / "v.mp4"))
    with raw.open() as file:
        file.seek(3 << 30)
        assert file.read(8) == b"far away"


@pytest.mark.parametrize("size", [100, MEMORY_BYTES + 5])
def test_a_member_of_a_tar_is_a_file_of_its_own(tmp_path: Path, size: int) -> None:
    data = {"a.mp4": os.urandom(size), "b.mp4": os.urandom(50)}
    write_files(tmp_path / "files", data)
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for name in data:
            archive.add(tmp_path / "files" / name, name)
    assert contents(opened(tmp_path / "t.tar")) == {f"t.tar#{name[0]}": {"video": data[name]} for name in data}
    source = opened(tmp_path / "t.tar")
    items = listed(source)
    raw = raw_bytes(source, items).raw(items["t.tar#a"].parts[0])
    assert raw.extension == "mp4"
    with raw.open() as file:
        file.seek(0, os.SEEK_END)
        assert file.tell() == size and file.read() == b""


def test_what_is_not_the_file_that_was_listed_is_rejected(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.mp4": b"content"})
    raw = RawBytes(tmp_path, [], Limits())
    part = part_of(tmp_path / "a.mp4")
    assert raw.read(part) == b"content"
    assert reason(raw, part_of(tmp_path / "a.mp4", size=6)) == "changed_file"
    assert reason(raw, part_of(tmp_path / "a.mp4", modified_ns=1)) == "changed_file"
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    assert reason(raw, part) == "missing_file"
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    assert reason(raw, part) == "unreadable_file"
    (tmp_path / "a.mp4").unlink()
    os.mkfifo(tmp_path / "a.mp4")
    assert reason(raw, part) == "unreadable_file"
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "a.mp4").mkdir()
    assert reason(raw, part) == "unreadable_file"


def test_a_file_that_shrinks_while_it_is_read_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(bytes(MEMORY_BYTES + 10))
    found = RawBytes(tmp_path, [], Limits()).raw(part_of(tmp_path / "v.mp4"))
    with found.open() as file:
        assert len(file.read(10)) == 10
        os.truncate(tmp_path / "v.mp4", 10)
        file.seek(MEMORY_BYTES)
        with pytest.raises(Rejection, match="changed_file"):
            file.read()


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.ESTALE, errno.ENOTCONN])
def test_a_fault_of_the_machine_while_reading_rejects_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    (tmp_path / "v.mp4").write_bytes(bytes(MEMORY_BYTES + 10))
    found = RawBytes(tmp_path, [], Limits()).raw(part_of(tmp_path / "v.mp4"))

    def refuse(*_: object) -> int:
        raise OSError(fault, os.strerror(fault))

    with found.open() as file, monkeypatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        with pytest.raises(SourceError, match="cannot be read at present"):
            file.read(1)


def test_a_disk_that_cannot_read_a_file_rejects_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.mp4").write_bytes(b"x")

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    raw = RawBytes(tmp_path, [], Limits())
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", refuse)
        assert reason(raw, part_of(tmp_path / "v.mp4")) == "unreadable_file"


def test_a_source_that_is_not_mounted_rejects_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is not there.*nothing was rejected"):
        RawBytes(tmp_path / "unmounted", [], Limits())


@pytest.mark.parametrize("kind", ["image", "video", "audio", "points", "raster", "ids", "text", "metadata"])
def test_every_kind_has_its_limit(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.x").write_bytes(bytes(10))
    limits = dict.fromkeys(
        ("image_bytes", "video_bytes", "audio_bytes", "points_bytes", "raster_bytes", "text_bytes", "metadata_bytes"), 9
    )
    status = (tmp_path / "a.x").stat()
    part = Part(field="f", kind=kind, uri="a.x", size=10, modified_ns=status.st_mtime_ns)
    assert reason(RawBytes(tmp_path, [], Limits(**limits)), part) == "too_many_bytes"
    assert (
        reason(RawBytes(tmp_path, [], Limits(**limits)), Part(field="f", kind=kind, inline=bytes(10)))
        == "too_many_bytes"
    )


def test_cells_are_read_whatever_the_row_groups_and_the_order(tmp_path: Path) -> None:
    rows = [{"image": jpeg(n), "other": n} for n in range(30)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=7)
    wanted = [29, 0, 7, 6, 13]
    assert read_cells(tmp_path / "t.parquet", "image", wanted, limit=10**6) == {row: jpeg(row) for row in wanted}
    assert read_cells(tmp_path / "t.parquet", "image", [3], limit=10) == {3: len(jpeg(3))}
    assert contents(opened(tmp_path / "t.parquet"), limits=Limits(image_bytes=10)) == {
        f"t.parquet#{row}": "too_many_bytes" for row in range(30)
    }


def test_a_table_that_changes_or_goes_away_rejects_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist([{"image": jpeg(1)}]), path)
    source = opened(path)
    items = listed(source)
    part = items["t.parquet#0"].parts[0]
    os.utime(path, ns=(1, 1))
    assert reason(raw_bytes(source, items), part) == "changed_file"
    path.unlink()
    assert reason(raw_bytes(source, items), part) == "missing_file"


def test_items_that_are_rejected_already_are_never_read(tmp_path: Path) -> None:
    part = Part(field="image", kind="image", uri="http://127.0.0.1:1/a.jpg")
    item = RawItem(identity="a", parts=(part,), problem=(RejectReason.MISSING_FILE, "gone"))
    raw = RawBytes(tmp_path, [PlannedItem(item=item, shard=0, label=-1)], Limits())
    with pytest.raises(KeyError):
        raw.read(part)


def test_windows_load_each_key_once_in_order_and_any_key_out_of_order() -> None:
    loads: list[list[int]] = []

    def load(keys: Sequence[int]) -> dict[int, int]:
        loads.append(list(keys))
        return {key: key * 2 for key in keys if key != 3}

    windows = Windows([1, 2, 3, 1, 4, 5], load, length=2)
    assert [windows.get(key) for key in (1, 2, 3, 4, 5)] == [2, 4, None, 8, 10]
    assert loads == [[1, 2], [3, 4], [5]]
    assert windows.get(1) == 2


def test_windows_of_keys_that_are_prepared_together_are_held_together() -> None:
    loads: list[list[int]] = []

    def load(keys: Sequence[int]) -> dict[int, int]:
        loads.append(list(keys))
        return {key: key for key in keys}

    windows = Windows(range(6), load, length=2)
    windows.prepare([5, 0, 99])
    windows.prepare([])
    assert [windows.get(key) for key in (0, 5, 1, 4)] == [0, 5, 1, 4]
    windows.prepare([0, 2])
    assert windows.get(1) == 1
    assert loads == [[0, 1], [4, 5], [2, 3]]


def planned_parts(parts: Iterable[Part]) -> list[PlannedItem]:
    """Return items of one part each."""
    return [
        PlannedItem(item=RawItem(identity=f"{place}", parts=(part,)), shard=0, label=-1)
        for place, part in enumerate(parts)
    ]


@pytest.mark.parametrize("kind, ahead", [("text", 64), ("image", 64), ("audio", 8), ("points", 4), ("video", 1)])
def test_the_larger_files_may_be_the_fewer_are_fetched_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ahead: int
) -> None:
    asked: list[str] = []

    def fetch(urls: Sequence[str], *_: object) -> dict[str, Fetched]:
        asked.extend(urls)
        return {url: Fetched(outcome=Raw.of(b"x", name=url), connected=True) for url in urls}

    monkeypatch.setattr("ingest.raw_bytes.fetch_all", fetch)
    parts = [Part(field="f", kind=kind, uri=f"http://host/{number}") for number in range(100)]
    raw = RawBytes(tmp_path, planned_parts(parts), Limits())
    raw.prepare(parts[:1])
    assert asked == [part.uri for part in parts[:ahead]]
    assert [raw.read(part) for part in parts] == [b"x"] * 100
    assert asked == [part.uri for part in parts]


def test_a_network_that_is_down_is_noticed_however_few_are_fetched_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(urls: Sequence[str], *_: object) -> dict[str, Fetched]:
        lost = Rejection(RejectReason.FETCH_FAILED, "no connection")
        return {url: Fetched(outcome=lost, connected=False) for url in urls}

    monkeypatch.setattr("ingest.raw_bytes.fetch_all", fetch)
    parts = [Part(field="video", kind="video", uri=f"http://host/{number}") for number in range(16)]
    raw = RawBytes(tmp_path, planned_parts(parts), Limits())
    for part in parts[:15]:
        assert reason(raw, part) == "fetch_failed"
    with pytest.raises(SourceError, match="None of 16 addresses"):
        raw.prepare(parts[15:])


@pytest.mark.parametrize("function", ["read_cells", "rows_that_fit"])
@pytest.mark.parametrize(
    "error, raised", [(pa.ArrowMemoryError, MemoryError), (SourceError, SourceError), (MemoryError, MemoryError)]
)
def test_memory_that_is_refused_while_cells_are_read_rejects_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    error: type[Exception],
    raised: type[Exception],
) -> None:
    pq.write_table(pa.Table.from_pylist([{"image": jpeg(1)}]), tmp_path / "t.parquet")
    source = opened(tmp_path / "t.parquet")
    items = listed(source)

    def refuse(*_: object, **__: object) -> None:
        raise error("no memory")

    monkeypatch.setattr(f"ingest.raw_bytes.{function}", refuse)
    with pytest.raises(raised):
        raw_bytes(source, items).prepare(items["t.parquet#0"].parts)


@pytest.mark.parametrize("error", [TypeError, AttributeError, ValueError, pa.ArrowInvalid])
def test_what_nobody_foresaw_while_cells_are_read_is_kept_for_their_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    pq.write_table(pa.Table.from_pylist([{"image": jpeg(1)}]), tmp_path / "t.parquet")
    source = opened(tmp_path / "t.parquet")
    items = listed(source)

    def fail(*_: object, **__: object) -> None:
        raise error("odd bytes")

    monkeypatch.setattr("ingest.raw_bytes.read_cells", fail)
    raw = raw_bytes(source, items)
    raw.prepare(items["t.parquet#0"].parts)
    assert reason(raw, items["t.parquet#0"].parts[0]) == "unreadable_file"


def test_parts_of_items_that_have_a_problem_are_not_loaded(tmp_path: Path) -> None:
    parts = (
        Part(field="image", kind="image", uri="http://127.0.0.1:1/a.jpg"),
        Part(field="image", kind="image", uri="t.parquet", row=0, column="image"),
        Part(field="image", kind="image", uri="t.zip", member="a.jpg", offset=0, size=5),
    )
    item = RawItem(identity="a", parts=parts, problem=(RejectReason.MISSING_FILE, "gone"))
    RawBytes(tmp_path, [PlannedItem(item=item, shard=0, label=-1)], Limits()).prepare(parts)
