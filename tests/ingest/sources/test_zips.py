import io
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from ingest.raw_bytes.held import MEMORY_BYTES
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.errors import SourceError
from tests.ingest.listing import contents, kinds, listed, opened, problems, raw_bytes
from tests.ingest.pictures import jpeg


def zipped(path: Path, members: dict[str, bytes], *, packed: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_a_zip_gives_the_same_fields_as_the_folder_it_was_made_of(tmp_path: Path, packed: bool) -> None:
    members = {
        "x/a.jpg": jpeg(1),
        "x/a.txt": b"one",
        "x/a.depth.png": b"depth",
        "b.jpg": jpeg(2),
        "b.json": b'{"n": 1}',
    }
    source = opened(zipped(tmp_path / "t.zip", members, packed=packed))
    assert contents(source) == {
        "t.zip#x/a": {"image": jpeg(1), "text": b"one", "depth": b"depth"},
        "t.zip#b": {"image": jpeg(2)},
    }
    assert listed(source)["t.zip#b"].columns == {"n": 1}


def test_class_folders_and_rules_work_inside_a_zip(tmp_path: Path) -> None:
    members = {f"train/{name}/{n}.jpg": jpeg(n) for name in ("ant", "cat") for n in range(2)}
    items = listed(opened(zipped(tmp_path / "t.zip", members)))
    assert {name: item.label for name, item in items.items()} == {
        "t.zip#train/ant/0": "ant",
        "t.zip#train/ant/1": "ant",
        "t.zip#train/cat/0": "cat",
        "t.zip#train/cat/1": "cat",
    }
    pair = {"rgb/1.jpg": jpeg(1), "depth/1.png": b"d"}
    ruled = opened(zipped(tmp_path / "p.zip", pair), fields=["image=rgb/*.jpg", "depth=depth/*.png"])
    assert {name: kinds(item) for name, item in listed(ruled).items()} == {
        "p.zip#1": {"image": "image", "depth": "raster"}
    }


def test_a_folder_of_zips_alone_is_one_source(tmp_path: Path) -> None:
    zipped(tmp_path / "0.zip", {"a.jpg": jpeg(1)})
    zipped(tmp_path / "1.zip", {"a.jpg": jpeg(2)})
    (tmp_path / "README.txt").write_text("about them")
    assert set(contents(opened(tmp_path))) == {"0.zip#a", "1.zip#a"}


def test_members_that_would_leave_the_archive_are_rejected(tmp_path: Path) -> None:
    names = ["../a.jpg", "/b.jpg", "x/../../c.jpg", "d\\e.jpg"]
    path = zipped(tmp_path / "t.zip", {**{name: jpeg(1) for name in names}, "ok.jpg": jpeg(2)})
    items = listed(opened(path))
    assert problems(items) == {
        "t.zip#../a": "forbidden_member",
        "t.zip#/b": "forbidden_member",
        "t.zip#x/../../c": "forbidden_member",
        "t.zip#d\\e": "forbidden_member",
    }
    assert not list(tmp_path.parent.glob("*.jpg"))


def test_hidden_members_links_and_folders_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", jpeg(1))
        archive.writestr("__MACOSX/._a.jpg", b"mac")
        archive.writestr("notes.pdf", b"x")
        archive.mkdir("folder")
        link = zipfile.ZipInfo("b.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    source = opened(path)
    assert set(contents(source)) == {"t.zip#a"}
    assert source.ignored == {"hidden file": 1, ".pdf": 1, "symbolic link": 1}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_rejected_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(1))
        archive.writestr("a.jpg", jpeg(2))
        archive.writestr("b.jpg", jpeg(3))
    assert problems(listed(opened(tmp_path / "t.zip"))) == {"t.zip#a": "duplicate_member"}


def test_a_bomb_is_refused_by_what_its_directory_claims(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.bmp": bytes(4 << 20), "b.jpg": jpeg(1)})
    assert problems(listed(opened(path))) == {"t.zip#a": "too_many_bytes"}


def test_a_member_that_unpacks_to_more_than_it_claims_is_cut_off(tmp_path: Path) -> None:
    data = bytes(range(256)) * 400
    path = zipped(tmp_path / "t.zip", {"a.jpg": data, "b.jpg": jpeg(1)})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(struct.pack("<I", len(data)), struct.pack("<I", 1000)))
    found = contents(opened(path))
    assert found["t.zip#a"] == "too_many_bytes"
    assert found["t.zip#b"] == {"image": jpeg(1)}


def test_limits_count_what_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1)})
    assert contents(opened(path), limits=Limits(image_bytes=100)) == {"t.zip#a": "too_many_bytes"}


def test_encrypted_and_oddly_packed_members_are_rejected(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)}, packed=False)
    data = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + place] |= 1
    path.write_bytes(bytes(data))
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", jpeg(1))
    assert problems(listed(opened(path))) == {"t.zip#a": "forbidden_member"}
    assert problems(listed(opened(tmp_path / "z.zip"))) == {"z.zip#a": "unsupported_format"}


def test_members_that_share_bytes_are_rejected(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)}, packed=False)
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 10)
    path.write_bytes(bytes(data))
    assert set(problems(listed(opened(path))).values()) == {"forbidden_member"}


@pytest.mark.parametrize("packed", [True, False])
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path, packed: bool) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1)}, packed=packed)
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(bytes(data))
    assert contents(opened(path)) == {"t.zip#a": "unreadable_file"}


def test_large_stored_members_are_read_in_place_and_large_packed_ones_from_a_temporary_file(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(MEMORY_BYTES + 1000)
    for packed in (True, False):
        path = zipped(tmp_path / f"{packed}.zip", {"a.mp4": data}, packed=packed)
        assert contents(opened(path)) == {f"{packed}.zip#a": {"video": data}}


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"t\.zip is not a readable zip archive"):
        opened(path)


def test_an_archive_that_changes_after_the_listing_rejects_its_items(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1)})
    source = opened(path)
    items = listed(source)
    zipped(path, {"b.jpg": jpeg(2)})
    part = items["t.zip#a"].parts[0]
    with pytest.raises(Rejection, match="changed_file"):
        raw_bytes(source, items).read(part)


@pytest.mark.parametrize("size, packed, offset", [(2**64 - 1, 2**64 - 1, 0), (None, None, 2**63), (None, 2**40, None)])
def test_members_that_claim_to_be_where_the_archive_is_not_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, packed: int | None, offset: int | None
) -> None:
    path = zipped(tmp_path / "t.zip", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)}, packed=False)
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    entry = bytearray(data[start : start + 46 + len("a.jpg")])
    claims = {24: size, 20: packed, 42: offset}
    extra = b"".join(struct.pack("<Q", claim) for claim in claims.values() if claim is not None)
    for place, claim in claims.items():
        if claim is not None:
            entry[place : place + 4] = b"\xff" * 4
    extra = struct.pack("<HH", 1, len(extra)) + extra
    entry[30:32] = struct.pack("<H", len(extra))
    rest = bytearray(data[start + len(entry) :])
    end = rest.index(b"PK\x05\x06") + 12
    rest[end : end + 4] = struct.pack("<I", len(entry) + len(extra) + end - 12)
    path.write_bytes(data[:start] + bytes(entry) + extra + bytes(rest))
    assert problems(listed(opened(path)))["t.zip#a"] == "unreadable_file"


class Pipe(io.RawIOBase):
    """A file that cannot be searched, so that checksums follow what they are about."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def piped(path: Path, members: dict[str, bytes], *, packed: bool) -> Path:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path.write_bytes(pipe.data)
    return path


@pytest.mark.parametrize("size", [5000, MEMORY_BYTES + 5000])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("make", [zipped, piped])
def test_damage_in_a_member_is_seen_however_it_is_stored(tmp_path: Path, make: Any, packed: bool, size: int) -> None:
    media = {"a.mp4": random.Random(0).randbytes(size), "b.mp4": b"sound"}
    path = make(tmp_path / "t.zip", media, packed=packed)
    assert contents(opened(path)) == {"t.zip#a": {"video": media["a.mp4"]}, "t.zip#b": {"video": b"sound"}}
    data = bytearray(path.read_bytes())
    data[size // 2] ^= 1
    path.write_bytes(data)
    assert contents(opened(path)) == {"t.zip#a": "unreadable_file", "t.zip#b": {"video": b"sound"}}


def test_the_directory_is_read_once_and_a_large_member_checked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = {"a.mp4": bytes(MEMORY_BYTES + 1), "b.mp4": b"sound"}
    source = opened(piped(tmp_path / "t.zip", media, packed=False))
    items = listed(source)
    raw = raw_bytes(source, items)
    parts = [item.parts[0] for item in items.values()]
    raw.prepare(parts)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert [raw.raw(part).size for part in parts] == [MEMORY_BYTES + 1, 5]
    monkeypatch.setattr(zlib, "crc32", None)
    assert raw.raw(parts[0]).size == MEMORY_BYTES + 1
