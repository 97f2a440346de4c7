"""Whatever happens to the files of a dataset, no wrong byte is handed out, and the error says where it happened."""

import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, Damage
from shards.sample import Sample
from tests.ingest.pictures import jpeg
from tests.shards.test_kinds import FIELDS, many  # noqa: F401 - a fixture

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def flip(path: Path, byte: int, bit: int = 4) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        (value,) = file.read(1)
        file.seek(byte)
        file.write(bytes([value ^ bit]))


def only_error(found: list[Sample | CorruptShardError]) -> tuple[int, CorruptShardError]:
    errors = [(place, item) for place, item in enumerate(found) if isinstance(item, CorruptShardError)]
    assert len(errors) == 1
    return errors[0]


def offset_of(root: Path, row: int, field: str = "image") -> int:
    return int(Dataset.open(root).reader(0).facts(row // 64, f"{field}.offset")[row % 64])


def test_a_damaged_sample_does_not_hide_the_good_ones(dataset_root: Path) -> None:
    whole = Dataset.open(dataset_root).read(np.arange(150), ("image", "text"))
    tar, _ = Dataset.open(dataset_root).shard_paths(0)
    flip(tar, offset_of(dataset_root, 5) + 100)
    found = Dataset.open(dataset_root).read_each(np.arange(150), ("image", "text"))
    place, error = only_error(found)
    assert place == 5
    assert found[:5] + found[6:] == whole[:5] + whole[6:]
    facts = (error.kind, error.shard, error.key, error.field)
    assert facts == (Damage.PAYLOAD, f"data/{tar.name}", whole[5].key, "image")
    assert error.kind == "payload"


def test_the_facts_of_an_error_survive_the_way_between_processes() -> None:
    error = CorruptShardError("all of it", kind=Damage.HEADER, shard="data/0.tar", key="k", field="image")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "all of it"
    assert (copy.kind, copy.shard, copy.key, copy.field) == (Damage.HEADER, "data/0.tar", "k", "image")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(byte=st.integers(0, 511), bit=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]))
def test_no_bit_of_a_header_can_flip_unseen(dataset_root: Path, byte: int, bit: int) -> None:
    tar, _ = Dataset.open(dataset_root).shard_paths(0)
    place = offset_of(dataset_root, 3) - 512 + byte
    flip(tar, place, bit)
    try:
        where, error = only_error(Dataset.open(dataset_root).read_each(np.arange(8), ("image",)))
    finally:
        flip(tar, place, bit)
    assert where == 3
    assert (error.kind, error.field) == (Damage.HEADER, "image")
    assert "damaged tar header" in str(error) and str(error.key) in str(error)


@pytest.mark.parametrize("frame", [0, 1])
def test_the_header_of_every_frame_is_checked(many: Path, tmp_path: Path, frame: int) -> None:  # noqa: F811
    root = Path(shutil.copytree(many, tmp_path / "many"))
    reader = Dataset.open(root).reader(0)
    start = reader.facts(0, "video.offset")[1] + reader.facts(0, "video.starts")[1][frame]
    flip(Dataset.open(root).shard_paths(0)[0], start - 512 + 150)
    where, error = only_error(Dataset.open(root).read_each(np.arange(8), list(FIELDS)))
    assert (where, error.kind, error.key, error.field) == (1, Damage.HEADER, "key-001", "video")


def test_a_sound_header_of_another_sample_is_noticed(dataset_root: Path) -> None:
    tar, _ = Dataset.open(dataset_root).shard_paths(0)
    content = bytearray(tar.read_bytes())
    here, there = offset_of(dataset_root, 3) - 512, offset_of(dataset_root, 4) - 512
    content[here : here + 512] = content[there : there + 512]
    tar.write_bytes(content)
    where, error = only_error(Dataset.open(dataset_root).read_each(np.arange(8), ("image",)))
    assert (where, error.kind) == (3, Damage.HEADER)


@pytest.mark.parametrize("name", FORMATS)
def test_sound_headers_of_other_writers_are_accepted(name: str, tmp_path: Path) -> None:
    folder = "x" * 80
    with tarfile.open(tmp_path / "a.tar", "w", format=FORMATS[name]) as archive:
        for number in range(3):
            for member in (f"./{folder}/{number}.a_rather_long_name_of_a_field.jpg", f"./{folder}/{number}.JPG"):
                info = tarfile.TarInfo(member)
                info.size = len(jpeg(number))
                info.mtime = 1.5 if name == "pax" else 1  # which takes a header of its own
                info.uname = "someone"
                archive.addfile(info, io.BytesIO(jpeg(number)))
    adopt(tmp_path)
    samples = Dataset.open(tmp_path).read(np.arange(3), ("image", "a_rather_long_name_of_a_field"))
    assert [sample.fields["image"] for sample in samples] == [jpeg(number) for number in range(3)]


def test_a_tar_cut_off_while_it_is_open_is_truncated(dataset_root: Path) -> None:
    dataset = Dataset.open(dataset_root)
    dataset.read(np.arange(2), ("image",))
    tar, _ = dataset.shard_paths(0)
    with tar.open("r+b") as file:
        file.truncate(offset_of(dataset_root, 7) + 10)
    where, error = only_error(dataset.read_each(np.arange(8), ("image",)))
    assert (where, error.kind, error.field) == (7, Damage.TRUNCATED, "image")


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_file_costs_the_samples_of_its_shard_only(dataset_root: Path, which: int) -> None:
    dataset = Dataset.open(dataset_root)
    path = dataset.shard_paths(1)[which]
    path.unlink()
    shards, _ = dataset.locate(np.arange(150))
    found = dataset.read_each(np.arange(150), ("image",))
    assert [isinstance(item, CorruptShardError) for item in found] == (shards == 1).tolist()
    errors = [item for item in found if isinstance(item, CorruptShardError)]
    assert {error.kind for error in errors} == {Damage.MISSING} and path.name in str(errors[0])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.sampled_from([1, 128]), length=st.integers(0, 30))
def test_a_damaged_index_never_hands_out_wrong_bytes(
    dataset_root: Path, sealed: Path, place: float, bit: int, length: int
) -> None:
    """Whatever is flipped in an index: every sample that comes back has the fields that were stored under its key."""
    _, index = Dataset.open(sealed).shard_paths(0)
    copy = dataset_root / index.relative_to(sealed)
    content = bytearray(index.read_bytes())
    for byte in range(int(place * len(content)), min(int(place * len(content)) + length + 1, len(content))):
        content[byte] ^= bit
    copy.write_bytes(content)
    expected = {sample.key: sample.fields for sample in Dataset.open(sealed).read(np.arange(70), ("image", "text"))}
    dataset = Dataset.open(dataset_root)
    for item in dataset.read_each(np.arange(64), ("image", "text")):
        assert isinstance(item, CorruptShardError) or {expected[item.key][name] for name in item.fields} == set(
            item.fields.values()
        )
