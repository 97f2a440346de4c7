import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.sources.folder import FolderSource, has_class_folders
from shards.errors import SourceError
from shards.manifest import Manifest
from tests.ingest.listing import contents, kinds, listed, opened, problems
from tests.ingest.outcome import reasons, rejected, stored
from tests.ingest.pictures import jpeg, png, write_files

Run = Callable[..., Manifest]


def test_files_that_share_a_stem_are_one_sample(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "a.txt": "first", "a.cls": "3", "sub/a.jpg": jpeg(2), "sub/a.txt": "second"}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    samples = stored(tmp_path / "out")
    assert set(samples) == {"a", "sub/a"}
    assert samples["a"].fields == {"image": jpeg(1), "text": b"first", "label": b"3"}
    assert samples["sub/a"].fields == {"image": jpeg(2), "text": b"second"}


def test_the_case_of_extensions_does_not_matter(tmp_path: Path, run_ingest: Run) -> None:
    run_ingest(
        write_files(tmp_path / "raw", {"A.JPG": jpeg(1), "A.Txt": "caption", "b.JPEG": jpeg(2)}), tmp_path / "out"
    )
    samples = stored(tmp_path / "out")
    assert set(samples) == {"A", "b"}
    assert samples["A"].fields["text"] == b"caption"


def test_dots_in_a_name_belong_to_the_stem(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.b.jpg": jpeg(1), "a.b.txt": "ab", "a.jpg": jpeg(2), "a.txt": "a"}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert {source: sample.fields["text"] for source, sample in stored(tmp_path / "out").items()} == {
        "a.b": b"ab",
        "a": b"a",
    }


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path, run_ingest: Run) -> None:
    files = {
        "a.jpg": jpeg(1),
        ".hidden.jpg": jpeg(2),
        "notes.pdf": "x",
        "b.pdf": "y",
        "Makefile": "z",
        "._a.jpg": "mac",
    }
    raw = write_files(tmp_path / "raw", files)
    (raw / "link.jpg").symlink_to(raw / "a.jpg")
    (raw / "loop").symlink_to(raw)
    os.mkfifo(raw / "pipe.jpg")
    manifest = run_ingest(raw, tmp_path / "out")
    assert manifest.num_samples == 1
    assert manifest.ignored == {
        "hidden file": 2,
        ".pdf": 2,
        "no extension": 1,
        "symbolic link": 1,
        "link to a folder": 1,
        "no regular file": 1,
    }


def test_a_pipe_named_like_a_label_file_does_not_hang_the_listing(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw", {"a.jpg": jpeg(1)})
    os.mkfifo(raw / "a.cls")
    source = FolderSource(raw, folder_labels=False)
    assert [item.label for item in source.scan()] == [None]
    assert source.ignored == {"no regular file": 1}


def test_two_pictures_of_one_stem_are_two_samples(tmp_path: Path, run_ingest: Run) -> None:
    run_ingest(write_files(tmp_path / "raw", {"a.jpg": jpeg(1), "a.png": png(2)}), tmp_path / "out")
    assert {source: sample.facts["image.format"] for source, sample in stored(tmp_path / "out").items()} == {
        "a.jpg": "jpeg",
        "a.png": "png",
    }


def test_two_pictures_and_a_caption_of_one_stem_are_rejected(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "a.png": png(2), "a.txt": "whose?", "b.jpg": jpeg(3)}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert set(stored(tmp_path / "out")) == {"b"}
    reason, detail = rejected(tmp_path / "out")["a"]
    assert reason == "ambiguous_fields"
    assert detail.startswith("a.jpg, a.png, a.txt: more than one file for the same field")


def test_folders_of_classes_are_recognised_and_sorted(tmp_path: Path, run_ingest: Run) -> None:
    files = {f"{name}/{number}.jpg": jpeg(number) for name in ("zebra", "ant", "cat") for number in range(2)}
    manifest = run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert manifest.classes == ("ant", "cat", "zebra")
    labels = {source.partition("/")[0]: sample.facts["label"] for source, sample in stored(tmp_path / "out").items()}
    assert labels == {"ant": 0, "cat": 1, "zebra": 2}


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"], True),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/notes.pdf", "README"], True),
        (["1.jpg", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"], False),
        (["a/1.jpg", "a/2.jpg"], False),
        (["a/1.jpg", "b/1.jpg", "c/1.jpg"], False),
        (["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/2.cls"], False),
    ],
)
def test_class_folders_are_only_seen_where_they_are(tmp_path: Path, names: list[str], expected: bool) -> None:
    assert has_class_folders(write_files(tmp_path, dict.fromkeys(names, b"x"))) is expected


def test_folder_labels_can_be_forced_and_forbidden(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {f"{name}/{n}.jpg": jpeg(n) for name in ("a", "b") for n in range(2)})
    assert run_ingest(raw, tmp_path / "none", labels="none").classes is None
    raw = write_files(tmp_path / "raw2", {"a/1.jpg": jpeg(1)})
    assert run_ingest(raw, tmp_path / "forced", labels="folder").classes == ("a",)


def test_label_files_with_names_become_sorted_classes(tmp_path: Path, run_ingest: Run) -> None:
    files = {f"{n}.jpg": jpeg(n) for n in range(3)} | {"0.cls": "wolf\n", "1.cls": "12", "2.cls": "ape"}
    manifest = run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert manifest.classes == ("12", "ape", "wolf")
    assert {source: sample.facts["label"] for source, sample in stored(tmp_path / "out").items()} == {
        "0": 2,
        "1": 0,
        "2": 1,
    }


def test_label_files_with_numbers_keep_their_numbers(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "a.cls": "2147483647", "b.jpg": jpeg(2), "b.cls": " 007 \n"}
    manifest = run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert manifest.classes is None
    assert {s: sample.facts["label"] for s, sample in stored(tmp_path / "out").items()} == {"a": 2147483647, "b": 7}


def test_numbers_too_large_for_a_label_are_names(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "a.cls": "2147483648", "b.jpg": jpeg(2), "b.cls": "9" * 200}
    assert run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out").classes == ("2147483648", "9" * 200)


@pytest.mark.parametrize("content", [b"", b"  \n", b"caf\xe9", b"two\nlines", b"x" * 257])
def test_label_files_that_are_none_reject_their_item(tmp_path: Path, run_ingest: Run, content: bytes) -> None:
    files = {"a.jpg": jpeg(1), "a.cls": content, "b.jpg": jpeg(2)}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert reasons(tmp_path / "out") == {"a": "invalid_label"}


def test_names_that_are_not_utf_8_are_ingested(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {"a.jpg": jpeg(1), "b.jpg": b"no picture"})
    (raw / "a.jpg").rename(raw / os.fsdecode(b"caf\xe9.jpg"))
    (raw / "b.jpg").rename(raw / os.fsdecode(b"th\xe9.jpg"))
    run_ingest(raw, tmp_path / "out")
    assert set(stored(tmp_path / "out")) == {"caf?"}
    assert reasons(tmp_path / "out") == {"th?": "unknown_format"}


def test_class_folders_whose_names_are_not_utf_8_reject_their_items(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {f"{name}/{n}.jpg": jpeg(n) for name in ("a", "b") for n in range(2)})
    (raw / "b").rename(raw / os.fsdecode(b"caf\xe9"))
    manifest = run_ingest(raw, tmp_path / "out")
    assert manifest.classes == ("a",)
    assert set(reasons(tmp_path / "out").values()) == {"invalid_label"}


def test_long_odd_and_unicode_names_are_ingested(tmp_path: Path, run_ingest: Run) -> None:
    names = ["-rf.jpg", "a  b'\"c.jpg", "ünï 图像.jpg", "n" * 200 + ".jpg", "new\nline.jpg"]
    manifest = run_ingest(write_files(tmp_path / "raw", {name: jpeg(1) for name in names}), tmp_path / "out")
    assert manifest.num_samples == len(names)
    keys = [sample.key for sample in stored(tmp_path / "out").values()]
    assert all(len(key) <= 57 and key.isascii() for key in keys) and len(set(keys)) == len(names)


def test_items_come_in_a_fixed_order(tmp_path: Path) -> None:
    names = ["b/2.jpg", "b/10.jpg", "a/z.jpg", "top.jpg", "a/a.png"]
    raw = write_files(tmp_path / "raw", dict.fromkeys(names, b"x"))
    listed = [item.identity for item in FolderSource(raw, folder_labels=False).scan()]
    assert listed == ["top", "a/a", "a/z", "b/10", "b/2"]


def test_a_file_that_vanishes_during_the_listing_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_files(tmp_path / "raw", {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "b.cls": "1"})
    source = FolderSource(raw, folder_labels=False)
    listing = source.scan()
    first = next(listing)
    assert first.problem is None
    (raw / "b.jpg").unlink()
    (raw / "b.cls").unlink()
    (second,) = listing
    assert second.problem is not None and second.problem[0] == "missing_file"


def test_media_of_every_kind_and_their_captions_are_fields_of_one_item(tmp_path: Path) -> None:
    names = [
        "a.mp4",
        "a.wav",
        "a.jpg",
        "a.depth.png",
        "a.segmentation.png",
        "a.left.png",
        "a.points.npy",
        "a.txt",
        "b.b.ply",
    ]
    items = listed(opened(write_files(tmp_path, dict.fromkeys(names, b"x"))))
    assert kinds(items["a"]) == {
        "video": "video",
        "audio": "audio",
        "image": "image",
        "depth": "raster",
        "segmentation": "ids",
        "left": "image",
        "points": "points",
        "text": "text",
    }
    assert kinds(items["b.b"]) == {"points": "points"}


def test_files_of_any_one_field_that_share_a_stem_are_items_of_their_own(tmp_path: Path) -> None:
    items = listed(opened(write_files(tmp_path, {"a.wav": b"x", "a.mp3": b"x", "cow.off": b"x", "cow.obj": b"x"})))
    assert set(items) == {"a.wav", "a.mp3", "cow.off", "cow.obj"} and not problems(items)


def test_rules_say_which_files_are_which_field_and_nothing_else_is_one(tmp_path: Path) -> None:
    names = ["1_rgb.jpg", "1_depth.png", "1_seg.png", "1.txt", "2_rgb.jpg"]
    source = opened(
        write_files(tmp_path, dict.fromkeys(names, b"x")),
        fields=["image=_rgb.jpg", "depth=_depth.png", "mask=_seg.png"],
    )
    assert {name: kinds(item) for name, item in listed(source).items()} == {
        "1": {"depth": "raster", "image": "image", "mask": "ids"},
        "2": {"image": "image"},
    }
    assert source.ignored == {".txt": 1}


def test_sidecars_are_read_like_the_columns_of_a_table(tmp_path: Path) -> None:
    record = {"caption": ["one", "two"], "label": 3, "licence": "CC0", "camera": "x", "exposure": {"s": 1}}
    files = {"a.jpg": jpeg(1), "a.json": json.dumps(record), "b.jpg": jpeg(2), "b.txt": "file", "b.cls": "7"}
    files |= {"b.json": json.dumps({"text": "sidecar", "class": "c"}), "alone.json": "{}"}
    source = opened(write_files(tmp_path, files))
    items = listed(source)
    first, second = items["a"], items["b"]
    assert (first.label, first.licence, first.columns) == ("3", "CC0", {"camera": "x", "exposure": {"s": 1}})
    assert contents(source) == {
        "a": {"text": b"one\ntwo", "image": jpeg(1)},
        "b": {"image": jpeg(2), "text": b"file"},
    }
    assert second.label == "7"
    assert source.ignored[".json without a file beside it"] == 1


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": NaN}', "[" * 100_000, b"\xff"])
def test_sidecars_that_are_none_reject_their_item(tmp_path: Path, content: str | bytes) -> None:
    items = listed(opened(write_files(tmp_path, {"a.jpg": jpeg(1), "a.json": content, "b.jpg": jpeg(2)})))
    assert problems(items) == {"a": "bad_text_encoding"}


def test_class_folders_of_sound_are_recognised_and_folders_of_modalities_are_not(tmp_path: Path) -> None:
    sounds = {f"{name}/{n}.flac": b"x" for name in ("cat", "dog") for n in range(3)}
    assert has_class_folders(write_files(tmp_path / "sounds", {**sounds, "labels.csv": "x"}))
    mixed = {f"image/{n}.jpg": b"x" for n in range(3)} | {f"audio/{n}.flac": b"x" for n in range(3)}
    assert not has_class_folders(write_files(tmp_path / "mixed", mixed))


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("ingest.sources.folder.os.scandir", refuse)
    with pytest.raises(SourceError, match="cannot be listed: Permission denied"):
        list(FolderSource(tmp_path, folder_labels=False).scan())


def test_a_sidecar_that_is_nested_too_deep_rejects_its_item(tmp_path: Path) -> None:
    for name, depth in {"a": 63, "b": 64, "c": 800}.items():
        nested = f'{{"more": {"[" * depth}{"]" * depth}}}'
        write_files(tmp_path, {f"{name}.jpg": jpeg(1), f"{name}.json": nested.encode()})
    assert problems(listed(opened(tmp_path))) == {"b": "bad_text_encoding", "c": "bad_text_encoding"}
