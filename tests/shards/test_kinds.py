"""Fields of every kind: written, read back, verified, dealt to splits, and adopted from tars of others."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from shards.adopt import adopt
from shards.array_header import UnreadableArrayError, read_array_header
from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError
from shards.manifest import Origin, seal
from shards.sample import Provenance, Sample
from shards.schema import KINDS, field_of_extension, in_order, is_valid_field_name, kind_spec, member_extension
from shards.shard_writer import Member, ShardWriter, raw_sha256
from shards.verify import verify
from tests.ingest.pictures import jpeg, png

FIELDS = {"image": "image", "left": "image", "video": "frames", "audio": "audio", "points": "points", "depth": "raster"}
SPLITS = ("train", "train", "val")
PER_SHARD = 70


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def flac(samples: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.linspace(-0.5, 0.5, samples, dtype=np.float32), 16_000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def contents(number: int) -> tuple[dict[str, bytes], dict[str, tuple[bytes, ...]]]:
    """The fields of a sample; every third has no video, every fourth no depth."""
    fields = {
        "image": jpeg(number),
        "left": png(number),
        "audio": flac(100 + number),
        "points": npy(np.full((number % 5 + 1, 4), number, np.float32)),
        "depth": npy(np.full((4, 5), number, np.uint16)),
    }
    if number % 4 == 0:
        del fields["depth"]
    frames = {} if number % 3 == 0 else {"video": tuple(jpeg(1000 + number + frame) for frame in range(number % 4 + 1))}
    return fields, frames


def facts(fields: dict[str, bytes], frames: dict[str, tuple[bytes, ...]]) -> dict[str, object]:
    known: dict[str, object] = {"image.width": 48, "image.height": 40, "left.width": 48, "left.height": 40}
    if "video" in frames:
        known |= {"video.count": len(frames["video"]), "video.times": [0.5 * n for n in range(len(frames["video"]))]}
    return known


ENDINGS = {"image": "jpg", "left": "png", "video": "jpg", "audio": "flac", "points": "points.npy", "depth": "npy"}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 70 samples of many kinds; do not write into it."""
    root = tmp_path_factory.mktemp("kinds") / "dataset"
    for shard, split in enumerate(SPLITS):
        with ShardWriter(root, shard=shard, plan_id="p", fields=FIELDS, split=split) as writer:
            for number in range(shard * PER_SHARD, (shard + 1) * PER_SHARD):
                fields, frames = contents(number)
                members = {name: Member(extension=ENDINGS[name], sha256=raw_sha256(b"")) for name in (*fields, *frames)}
                provenance = Provenance(source=f"item {number}", licence=None, group=f"drive {shard}", place=number)
                writer.add(Sample(f"key-{number:03d}", fields, facts(fields, frames), frames), members, provenance)
            writer.commit()
    origin = Origin(
        plan_id="p",
        source="made by hand",
        settings={},
        software={},
        fields=FIELDS,
        classes=None,
        num_items=len(SPLITS) * PER_SHARD,
        num_shards=len(SPLITS),
        ignored={},
    )
    seal(root, origin)
    return root


def numbers(dataset: Dataset) -> Iterator[tuple[int, Sample]]:
    for sample in dataset.read(np.arange(dataset.num_samples), list(FIELDS)):
        yield int(sample.key.removeprefix("key-")), sample


def test_fields_of_every_kind_come_back_as_they_were_written(many: Path) -> None:
    read = dict(numbers(Dataset.open(many)))
    assert sorted(read) == list(range(len(SPLITS) * PER_SHARD))
    for number, sample in read.items():
        fields, frames = contents(number)
        assert (dict(sample.fields), dict(sample.frames)) == (fields, frames)
        assert sample.facts["video.times"] == (None if not frames else [0.5 * n for n in range(len(frames["video"]))])
    assert verify(Dataset.open(many)) == []


def test_groups_and_places_are_columns_of_the_index(many: Path) -> None:
    dataset = Dataset.open(many)
    ids = np.arange(dataset.num_samples)
    assert set(dataset.column(ids, "group")) == {"drive 0", "drive 1", "drive 2"}
    assert sorted(dataset.column(ids, "place")) == list(range(dataset.num_samples))


def test_a_split_has_its_own_samples_numbered_from_zero(many: Path) -> None:
    train, val = Dataset.open(f"{many}:train"), Dataset.open(f"{many}:val")
    assert (train.num_samples, val.num_samples) == (140, 70)
    assert sorted(number for number, _ in numbers(val)) == list(range(140, 210))
    assert sorted(number for number, _ in numbers(train)) == list(range(140))
    assert len({train.dataset_id, val.dataset_id, Dataset.open(many).dataset_id}) == 3
    assert val.num_with("depth") == sum(number % 4 != 0 for number in range(140, 210))
    with pytest.raises(DatasetError, match=r"has no split 'vel'; it has train, val. Did you mean 'val'"):
        Dataset.open(f"{many}:vel")


def test_every_run_of_64_samples_of_a_split_lies_in_one_shard(many: Path) -> None:
    train = Dataset.open(f"{many}:train")
    shards, rows = train.locate(np.arange(train.num_samples))
    assert shards[:128].tolist() == [0] * 64 + [1] * 64
    assert rows[:128].tolist() == [*range(64), *range(64)]
    assert rows[128:].tolist() == [*range(64, 70), *range(64, 70)]


@pytest.mark.parametrize("place", [0, -1])
def test_a_flipped_bit_in_any_frame_is_found_and_named(many: Path, tmp_path: Path, place: int) -> None:
    root = Path(shutil.copytree(many, tmp_path / "copy"))
    dataset = Dataset.open(root)
    row = int(np.argmax(dataset.column(np.arange(64), "video.size")))
    sample = dataset.read(np.array([row]), ["video"])[0]
    tar, _ = dataset.shard_paths(0)
    data = bytearray(tar.read_bytes())
    data[data.index(sample.frames["video"][place]) + 20] ^= 1
    tar.write_bytes(bytes(data))
    with pytest.raises(CorruptShardError, match=f"field 'video' of sample '{sample.key}'"):
        Dataset.open(root).read(np.array([row]), ["video"])
    assert [finding.where for finding in verify(Dataset.open(root))] == [f"data/{tar.name}"]


def test_tars_of_many_kinds_are_adopted_with_their_facts(many: Path, tmp_path: Path) -> None:
    for tar in (many / "data").glob("*.tar"):
        shutil.copy(tar, tmp_path / tar.name)
    manifest = adopt(tmp_path)
    assert manifest.num_samples == 210
    assert manifest.kinds == {**FIELDS}
    adopted, first = Dataset.open(tmp_path), Dataset.open(many)
    assert verify(adopted) == []
    assert dict(numbers(adopted)).keys() == dict(numbers(first)).keys()
    ids = np.arange(210)
    assert adopted.column(ids, "audio.samples").min() == 100
    assert set(adopted.column(ids, "depth.height")) == {4, -1}
    assert adopted.column(ids, "points.count").max() == 5
    for (_, ours), (_, theirs) in zip(numbers(adopted), numbers(first), strict=True):
        assert (ours.fields, ours.frames) == (theirs.fields, theirs.frames)


@given(kind=st.sampled_from(sorted(KINDS)), name=st.sampled_from(["", "left", "other_1"]), number=st.integers(0, 150))
def test_an_extension_tells_field_and_kind(kind: str, name: str, number: int) -> None:
    spec = kind_spec(kind)
    name = name or spec.default_name
    extension = member_extension(name, kind, spec.extensions[0], number=number if spec.is_sequence else None)
    found = field_of_extension(extension)
    # What a PNG holds, only its name can say.
    assert found == (name, kind) or kind in ("raster", "ids")


@pytest.mark.parametrize("extension", ["", "pyd", "left", "frame-1.jpg", "LEFT.jpg", "a.b.jpg", "frame-00.png", ".jpg"])
def test_foreign_extensions_are_no_field(extension: str) -> None:
    assert field_of_extension(extension) is None


@pytest.mark.parametrize("name", ["", "Left", "a.b", "9a", "x" * 33, "key", "group", "jpg", "frame", "a-b", "é"])
def test_names_that_would_be_ambiguous_in_a_tar_are_no_field_names(name: str) -> None:
    assert not is_valid_field_name(name)


def test_fields_stand_in_the_order_of_their_kinds() -> None:
    fields = [("text", "text"), ("right", "image"), ("label", "label"), ("video", "frames"), ("image", "image")]
    assert list(in_order(fields)) == ["image", "right", "video", "text", "label"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        npy(np.zeros(3))[:-1],
        npy(np.zeros(3)) + b"x",
        npy(np.array(["text"])),
        npy(np.zeros(2, dtype=[("x", "f4")])),
        npy(np.zeros(3)).replace(b"(3,)", b"(9,)"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableArrayError):
        read_array_header(data)


def test_an_array_of_objects_is_refused_without_being_read() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableArrayError, match="only plain numbers"):
        read_array_header(file.getvalue())


def test_an_array_header_gives_shape_and_type() -> None:
    assert read_array_header(npy(np.zeros((2, 3), ">u2"))) == ((2, 3), "uint16")
