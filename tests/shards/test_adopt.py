import io
import json
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError, SourceError
from shards.index import ArrowTable
from shards.receipt import read_receipt
from shards.verify import verify
from tests.ingest.pictures import jpeg, png

Members = Sequence[tuple[str, bytes]]


def tar(path: Path, members: Members, **attributes: Any) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def sample(key: str, number: int = 0) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", jpeg(number)), (f"{key}.txt", f"caption {number}".encode()), (f"{key}.cls", b"%d" % number)]


def rejects(root: Path, shard: int = 0) -> dict[str, tuple[str, str]]:
    table = ArrowTable(root / read_receipt(root, shard).files["rejects"].path)
    return {row["key"]: (row["reason"], row["detail"]) for row in table.rows()}


def stored_keys(root: Path) -> list[str]:
    dataset = Dataset.open(root)
    return dataset.keys(np.arange(dataset.num_samples))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of two tars of 10 and 5 samples, written by webdataset itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        pattern = str(tmp_path / "train-%04d.tar")
        with webdataset.ShardWriter(pattern, maxcount=10, verbose=0) as writer:
            for number in range(15):
                record = {"jpg": jpeg(number), "txt": f"caption {number}", "cls": number, "json": {"n": number}}
                writer.write({"__key__": f"sample{number:04d}", **record})
    return tmp_path


def test_tars_of_webdataset_are_adopted_in_place_and_read_back(foreign: Path) -> None:
    before = {path: path.read_bytes() for path in foreign.glob("*.tar")}
    manifest = adopt(foreign)
    assert (manifest.num_samples, manifest.num_shards, manifest.num_rejects) == (15, 2, 0)
    assert {path: path.read_bytes() for path in foreign.rglob("*.tar")} == before
    dataset = Dataset.open(foreign)
    read = {sample.key: sample for sample in dataset.read(np.arange(15), ("image", "text", "label", "metadata"))}
    for number in range(15):
        found = read[f"sample{number:04d}"]
        assert found.fields["image"] == jpeg(number)
        assert found.fields["text"] == f"caption {number}".encode()
        assert json.loads(found.fields["metadata"]) == {"n": number}
        assert (found.facts["label"], found.facts["image.width"], found.facts["image.height"]) == (number, 48, 40)
    assert verify(dataset) == []


def test_adopting_a_dataset_again_is_refused(foreign: Path) -> None:
    adopt(foreign)
    with pytest.raises(DatasetError, match="is already a dataset"):
        adopt(foreign)


def test_an_interrupted_adoption_goes_on_and_gives_the_same_manifest(foreign: Path) -> None:
    expected = adopt(foreign).to_json()
    for path in [foreign / "dataset.json", foreign / "receipts/000001.json"]:
        path.unlink()
    told: list[int] = []
    assert adopt(foreign, on_shard=told.append).to_json() == expected
    assert told == [0, 1]


def test_a_folder_without_tars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no \*\.tar"):
        adopt(tmp_path)


def test_tars_without_a_known_member_are_refused(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [("a.mp3", b"x")])
    with pytest.raises(SourceError, match="None of the 1 tars holds a member that maskloom reads"):
        adopt(tmp_path)


def test_members_that_do_not_stand_side_by_side_are_rejected(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [*sample("one")[:2], *sample("two"), sample("one")[2]])
    adopt(tmp_path)
    assert rejects(tmp_path) == {"one": ("duplicate_member", "members of key 'one' do not stand side by side")}
    assert stored_keys(tmp_path) == ["two"]


def test_two_members_for_a_field_are_rejected(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [*sample("one"), ("one.png", png(1)), *sample("two")])
    adopt(tmp_path)
    assert rejects(tmp_path)["one"][0] == "duplicate_member"
    assert stored_keys(tmp_path) == ["two"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_rejected(tmp_path: Path, kind: bytes) -> None:
    path = tar(tmp_path / "a.tar", sample("two"))
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("one.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    adopt(tmp_path)
    assert rejects(tmp_path) == {"one": ("forbidden_member", "'one.jpg' is a link or a device")}


@pytest.mark.parametrize("extension", ["pkl", "pickle", "pyd", "pth", "PT"])
def test_members_that_could_execute_code_are_rejected(tmp_path: Path, extension: str) -> None:
    tar(tmp_path / "a.tar", [*sample("one"), (f"one.{extension}", b"x"), *sample("two")])
    adopt(tmp_path)
    assert rejects(tmp_path) == {"one": ("forbidden_member", f"'one.{extension}' may execute code when it is read")}


@pytest.mark.parametrize("key", ["k" * 97, "ünïcode", "a b", "../up", "/etc/x", "a//b", "dotted.folder/x"])
def test_keys_that_are_no_keys_are_rejected(tmp_path: Path, key: str) -> None:
    tar(tmp_path / "a.tar", [*sample(key), *sample("two")])
    adopt(tmp_path)
    assert {reason for reason, _ in rejects(tmp_path).values()} == {"invalid_key"}
    assert stored_keys(tmp_path) == ["two"]


def test_long_keys_up_to_the_limit_are_kept(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", sample("k" * 96))
    adopt(tmp_path)
    assert stored_keys(tmp_path) == ["k" * 96]


def test_folders_inside_a_tar_are_part_of_the_key(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*sample("./cats/one"), *sample("./dogs/one")])
    with tarfile.open(path, "a") as archive:
        folder = tarfile.TarInfo("cats")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    adopt(tmp_path)
    assert stored_keys(tmp_path) == ["cats/one", "dogs/one"]
    assert verify(Dataset.open(tmp_path)) == []


def test_a_folder_with_the_name_of_a_key_is_no_member_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo("one")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in [*sample("two"), *sample("one")]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    adopt(tmp_path)
    assert stored_keys(tmp_path) == ["two", "one"]


def test_unknown_members_are_ignored_and_counted(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [*sample("one"), ("one.mp3", b"x"), ("two.mp3", b"y"), ("README", b"z")])
    manifest = adopt(tmp_path)
    assert (manifest.num_samples, manifest.num_rejects) == (1, 0)
    assert manifest.ignored == {"(none)": 1, "mp3": 2}


@pytest.mark.parametrize(
    "member, reason",
    [
        (("one.jpg", b"no picture"), "corrupt_image"),
        (("one.jpg", b""), "corrupt_image"),
        (("one.txt", b"caf\xe9"), "bad_text_encoding"),
        (("one.cls", b"cat"), "invalid_label"),
        (("one.cls", b""), "invalid_label"),
        (("one.cls", b"99999999999"), "invalid_label"),
        (("one.cls", b"-7"), "invalid_label"),
        (("one.cls", b"1" * 5000), "invalid_label"),
        (("one.json", b"{"), "bad_text_encoding"),
        (("one.json", b"[" * 100_000), "bad_text_encoding"),
    ],
)
def test_members_that_do_not_hold_what_they_say_are_rejected(
    tmp_path: Path, member: tuple[str, bytes], reason: str
) -> None:
    tar(tmp_path / "a.tar", [member, *sample("two")])
    manifest = adopt(tmp_path)
    assert rejects(tmp_path)["one"][0] == reason
    assert manifest.rejects == {reason: 1}
    assert stored_keys(tmp_path) == ["two"]


def test_a_bad_header_in_the_middle_stops_the_adoption_and_names_the_tar(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*sample("one"), *sample("two")])
    with tarfile.open(path) as archive:
        offset = archive.getmember("two.jpg").offset
    content = bytearray(path.read_bytes())
    content[offset + 150] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptShardError, match=rf"a\.tar has a damaged header at byte {offset}"):
        adopt(tmp_path)
    assert not (tmp_path / "dataset.json").exists()


def test_a_truncated_tail_stops_the_adoption_and_names_the_member(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*sample("one"), *sample("two")])
    with tarfile.open(path) as archive:
        offset = archive.getmember("two.jpg").offset_data
    path.write_bytes(path.read_bytes()[: offset + 100])
    with pytest.raises(CorruptShardError, match=r"truncated: member 'two\.jpg' should end at byte"):
        adopt(tmp_path)


def test_a_tar_without_an_end_marker_is_accepted(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", [*sample("one"), *sample("two")])
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + 512
    path.write_bytes(path.read_bytes()[:end])
    adopt(tmp_path)
    assert stored_keys(tmp_path) == ["one", "two"]


def test_a_sample_without_some_fields_is_kept(tmp_path: Path) -> None:
    tar(tmp_path / "a.tar", [*sample("one"), ("two.jpg", jpeg(2))])
    adopt(tmp_path)
    dataset = Dataset.open(tmp_path)
    _, second = dataset.read(np.arange(2), ("image", "text", "label"))
    assert set(second.fields) == {"image"}
    assert dataset.column(np.arange(2), "label").tolist() == [0, -1]


def test_the_longest_caption_of_an_adopted_text_is_the_longest_that_is_shown(tmp_path: Path) -> None:
    tar(
        tmp_path / "a.tar",
        [("one.txt", "a dog\n\n  ein Hündchen \r\n".encode()), ("two.txt", b""), ("three.cls", b"0")],
    )
    adopt(tmp_path)
    dataset, ids = Dataset.open(tmp_path), np.arange(3)
    longest = dict(zip(dataset.keys(ids), dataset.column(ids, "text.longest").tolist(), strict=True))
    assert longest == {"one": len("ein Hündchen"), "two": 0, "three": -1}


def test_a_key_that_an_earlier_tar_has_taken_is_rejected(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", sample("a", 1))
    tar(tmp_path / "1.tar", sample("a", 2) + sample("b", 3))
    adopt(tmp_path)
    assert sorted(stored_keys(tmp_path)) == ["a", "b"]
    assert rejects(tmp_path, 1) == {"a": ("duplicate_member", "key 'a' occurs in an earlier tar")}


def test_a_picture_that_a_reader_would_not_take_is_rejected(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, format="GIF")
    tar(tmp_path / "0.tar", [("a.jpg", picture.getvalue()), *sample("b")])
    adopt(tmp_path)
    assert stored_keys(tmp_path) == ["b"]
    assert rejects(tmp_path)["a"][0] == "corrupt_image"


def test_a_shard_table_that_points_outside_the_folder_is_refused(foreign: Path) -> None:
    adopt(foreign)
    dataset = Dataset.open(foreign)
    table = foreign / dataset.manifest.shards.path
    table.write_bytes(table.read_bytes().replace(b"train-0000.tar", b"/../../etc.tar"))
    with pytest.raises(DatasetError, match="outside its dataset folder"):
        Dataset.open(foreign).read(np.array([0]), ["image"])
