import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shards.tar
from shards.errors import CorruptShardError
from shards.tar import TarMember, TarWriter, iterate_members

MEMBERS = {"one.jpg": b"j" * 700, "one.txt": b"caption", "empty.txt": b"", "two.png": bytes(512)}


def written(path: Path, members: dict[str, bytes]) -> list[int]:
    with TarWriter(path) as writer:
        offsets = [writer.add(name, data) for name, data in members.items()]
        writer.finish()
    return offsets


def foreign_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    written(tmp_path / "a.tar", MEMBERS)
    written(tmp_path / "b.tar", MEMBERS)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_headers_hold_no_trace_of_machine_user_or_time(tmp_path: Path) -> None:
    written(tmp_path / "a.tar", MEMBERS)
    with tarfile.open(tmp_path / "a.tar") as archive:
        traces = {(info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) for info in archive}
    assert traces == {(0, 0, 0, "", "", 0o644)}


@settings(max_examples=25, deadline=None)
@given(payloads=st.lists(st.binary(max_size=1600), max_size=6))
def test_offsets_point_at_the_payloads(payloads: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    offsets = written(path, {f"{number}.txt": data for number, data in enumerate(payloads)})
    content = path.read_bytes()
    assert [content[offset : offset + len(data)] for offset, data in zip(offsets, payloads, strict=True)] == payloads
    assert [member.offset for member in iterate_members(path) if isinstance(member, TarMember)] == offsets
    with tarfile.open(path) as archive:
        assert [archive.extractfile(info).read() for info in archive] == payloads  # type: ignore[union-attr]


@pytest.mark.parametrize("kept", [1500, 700, 512 + 10])
def test_a_truncated_tar_is_an_error(tmp_path: Path, kept: int) -> None:
    path = foreign_tar(tmp_path / "a.tar", MEMBERS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptShardError, match=r"a\.tar"):
        list(iterate_members(path))


def test_a_damaged_header_in_the_middle_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = foreign_tar(tmp_path / "a.tar", MEMBERS)
    content = bytearray(path.read_bytes())
    second = next(member for member in iterate_members(path) if member.name == "one.txt")
    assert isinstance(second, TarMember)
    content[second.offset - 512 + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptShardError, match=rf"damaged header at byte {second.offset - 512}"):
        list(iterate_members(path))


def test_a_header_of_zeros_in_the_middle_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = foreign_tar(tmp_path / "a.tar", MEMBERS)
    content = bytearray(path.read_bytes())
    second = next(member for member in iterate_members(path) if member.name == "one.txt")
    assert isinstance(second, TarMember)
    content[second.offset - 512 : second.offset] = bytes(512)
    path.write_bytes(content)
    with pytest.raises(CorruptShardError, match="behind its end marker"):
        list(iterate_members(path))


def test_a_file_that_is_no_tar_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(CorruptShardError, match="not a readable tar"):
        list(iterate_members(tmp_path / "a.tar"))


def test_a_sparse_member_is_not_taken_for_a_plain_file(tmp_path: Path) -> None:
    info = tarfile.TarInfo("sparse.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"00000001000\0"  # the size that it claims to have when unpacked
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    assert not any(isinstance(member, TarMember) for member in iterate_members(tmp_path / "a.tar"))


@given(st.text("abcXYZ0189-_.", min_size=1, max_size=110), st.integers(0, 8**12))
def test_a_header_is_the_one_that_tarfile_writes(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    try:
        expected = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError:
        with pytest.raises(ValueError):
            shards.tar._header(name, size)
        return
    assert shards.tar._header(name, size) == expected
