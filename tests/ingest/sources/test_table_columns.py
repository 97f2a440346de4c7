import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import SettingsError, SourceError
from shards.manifest import Manifest
from tests.ingest.listing import contents, kinds, listed, opened, problems
from tests.ingest.pictures import jpeg, png, write_files
from tests.ingest.sources.tables import ROWS, write_table

Run = Callable[..., Manifest]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the pictures that ROWS names."""
    return write_files(tmp_path / "raw", {"one.jpg": jpeg(1), "sub/two.png": png(2)})


def test_columns_are_taken_for_fields_by_name_and_by_what_they_hold(tmp_path: Path) -> None:
    row = {"rgb": "a.jpg", "depth_mm": "d.png", "seg": "s.png", "video": "yes", "left": "l.png", "right_path": "r.png"}
    source = opened(write_table(tmp_path, "jsonl", [row]))
    columns = {rule.field: (rule.found, rule.kind) for rule in source.understanding.rules}
    assert columns == {
        "image": ("column 'rgb'", "image"),
        "depth": ("column 'depth_mm'", "raster"),
        "segmentation": ("column 'seg'", "ids"),
        "left": ("column 'left'", "image"),
        "right": ("column 'right_path'", "image"),
    }
    assert source.understanding.notes == ("kept as metadata: video",)


def test_files_of_any_kind_may_share_a_column(raw: Path) -> None:
    write_files(raw, {"a.wav": b"w", "b.MP4": b"v", "c.ply": b"p", "d.pdf": b"d"})
    rows = [{"file": name} for name in ("one.jpg", "a.wav", "b.MP4", "c.ply", "d.pdf", "https://host/x.flac?sig=1")]
    items = listed(opened(write_table(raw, "csv", rows)))
    assert [kinds(item) for item in items.values()] == [
        {"image": "image"},
        {"audio": "audio"},
        {"video": "video"},
        {"points": "points"},
        {},
        {"audio": "audio"},
    ]
    assert problems(items) == {"table.csv#4": "unknown_format"}


def test_any_field_can_be_named_with_its_kind(raw: Path) -> None:
    write_files(raw, {"s.dat": b"s", "d.png": b"d"})
    path = write_table(
        raw, "jsonl", [{"p": "one.jpg", "s": "s.dat", "d": "d.png", "q": "why?", "c": ["x", "y"], "e": "z"}]
    )
    rules = ["picture=p", "tts:audio=s", "depth=d", "question:text=q", "text=c", "text=e"]
    source = opened(path, columns=rules)
    assert kinds(listed(source)["table.jsonl#0"]) == {
        "picture": "image",
        "tts": "audio",
        "depth": "raster",
        "question": "text",
        "text": "text",
    }
    assert contents(source)["table.jsonl#0"]["text"] == b"x\ny\nz"


@pytest.mark.parametrize(
    "rule, message",
    [
        ("thing=caption", "Write --column thing:KIND=caption"),
        ("thing:sound=caption", "there is no kind 'sound'"),
        ("label:image=label", "has no kind"),
        ("license=license", "write --column licence=license"),
        ("metadata=width", "columns without a role become metadata"),
        ("caption", "write NAME"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_what_to_do(raw: Path, rule: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        opened(write_table(raw, "csv", ROWS), columns=[rule])


def test_two_columns_for_one_field_are_refused(raw: Path) -> None:
    with pytest.raises(SourceError, match="'file_name' is image already"):
        opened(write_table(raw, "csv", ROWS), columns=["image=file_name", "image=caption"])


def test_times_cut_video_and_sound_and_make_the_pieces_a_group(raw: Path) -> None:
    write_files(raw, {"v.mp4": b"v", "v.wav": b"w"})
    rows = [
        {"video": "v.mp4", "audio": "v.wav", "text": "t", "start": start, "end": end}
        for start, end in ((0, 1.5), (1.5, 4))
    ]
    items = listed(opened(write_table(raw, "csv", rows)))
    second = items["table.csv#1"]
    assert [(part.field, part.start_s, part.end_s) for part in second.parts] == [
        ("video", 1.5, 4.0),
        ("audio", 1.5, 4.0),
        ("text", None, None),
    ]
    assert [(item.group, item.place) for item in items.values()] == [("v.mp4", 0), ("v.mp4", 1500)]


@pytest.mark.parametrize("start, end", [("2", "1"), ("1", "1"), ("-1", "3"), ("soon", "3"), ("0", "nan"), ("0", "inf")])
def test_times_that_are_none_reject_their_row(raw: Path, start: str, end: str) -> None:
    write_files(raw, {"v.mp4": b"v"})
    items = listed(opened(write_table(raw, "csv", [{"video": "v.mp4", "start": start, "end": end}])))
    assert problems(items) == {"table.csv#0": "invalid_time"}


def test_groups_and_places_come_from_their_columns(raw: Path) -> None:
    rows = [{"image": "one.jpg", "drive": "d1", "frame": 7}, {"image": "one.jpg", "drive": "", "frame": "x"}]
    items = listed(opened(write_table(raw, "jsonl", rows), columns=["group=drive", "place=frame"]))
    assert [(item.group, item.place) for item in items.values()] == [("d1", 7), ("", -1)]


def test_times_of_pictures_are_metadata(raw: Path) -> None:
    items = listed(opened(write_table(raw, "jsonl", [{"image": "one.jpg", "start": 3}])))
    assert items["table.jsonl#0"].columns == {"start": 3}


@pytest.mark.parametrize("start", ["1e30", "1e18", "9" * 400])
def test_times_that_no_recording_reaches_reject_their_row(raw: Path, start: str) -> None:
    write_files(raw, {"v.mp4": b"v"})
    (raw / "t.jsonl").write_text(f'{{"video": "v.mp4", "start": {start}}}\n{{"video": "v.mp4", "start": 1}}')
    (raw / "t.csv").write_text(f"video,start\nv.mp4,{start}\nv.mp4,1")
    for name in ("t.jsonl", "t.csv"):
        assert problems(listed(opened(raw / name))) == {f"{name}#0": "invalid_time"}


@pytest.mark.parametrize("place", [2**63, -(2**63) - 1, 99999999999999999999, 1e30])
def test_places_that_no_column_can_hold_reject_their_row(raw: Path, place: float) -> None:
    rows = [{"image": "one.jpg", "place": place}, {"image": "one.jpg", "place": 2**63 - 1}]
    items = listed(opened(write_table(raw, "jsonl", rows), columns=["place=place"]))
    assert problems(items) == {"table.jsonl#0": "invalid_label"}
    assert [item.place for item in items.values()] == [-1, 2**63 - 1]


def test_groups_that_are_no_text_reject_their_row_and_names_of_files_are_kept(raw: Path) -> None:
    (raw / "t.jsonl").write_bytes(b'{"image": "one.jpg", "group": "\\ud800"}\n{"image": "one.jpg", "group": "\xff"}')
    items = listed(opened(raw / "t.jsonl", columns=["group=group"]))
    assert problems(items) == {"t.jsonl#0": "invalid_label"}
    assert [item.group for item in items.values()] == ["", "\udcff"]


@pytest.mark.parametrize("column", ["more", "caption", "label", "image", "group"])
def test_a_row_that_is_nested_too_deep_is_rejected(raw: Path, column: str) -> None:
    def row(depth: int) -> str:
        nested = "[" * depth + "]" * depth
        return '{"image": "one.jpg"}' if not depth else f'{{"image": "one.jpg", "more": 1, "{column}": {nested}}}'

    (raw / "t.jsonl").write_text("\n".join(map(row, (0, 64, 800))))
    rules = ["group=group"] if column == "group" else []
    items = listed(opened(raw / "t.jsonl", columns=rules))
    assert problems(items) == {"t.jsonl#1": "bad_text_encoding", "t.jsonl#2": "bad_text_encoding"}


def test_a_row_that_is_nested_as_deep_as_is_allowed_is_kept(raw: Path) -> None:
    (raw / "t.jsonl").write_text(f'{{"image": "one.jpg", "more": {"[" * 63}{"]" * 63}}}')
    assert problems(listed(opened(raw / "t.jsonl"))) == {}


def test_clips_without_a_start_begin_with_their_video_and_stay_in_its_group(raw: Path) -> None:
    write_files(raw, {"v.mp4": b"v"})
    rows = [{"video": "v.mp4", "start": start, "end": end} for start, end in (("", "3"), ("3", "5"), ("", ""))]
    items = listed(opened(write_table(raw, "csv", rows)))
    assert [(item.group, item.place) for item in items.values()] == [("v.mp4", 0), ("v.mp4", 3000), ("v.mp4", 0)]
    assert problems(items) == {}
    items = listed(opened(write_table(raw, "csv", [{"video": "v.mp4", "end": "2"}, {"video": "v.mp4", "end": "0"}])))
    assert [item.group for item in items.values()] == ["v.mp4", "v.mp4"]
    assert problems(items) == {"table.csv#1": "invalid_time"}


def test_videos_in_the_rows_themselves_are_no_group(tmp_path: Path) -> None:
    items = listed(opened(write_table(tmp_path, "parquet", [{"video": b"v", "start": n} for n in range(2)])))
    assert [item.group for item in items.values()] == ["", ""]


def test_a_caption_with_line_breaks_is_one_caption(raw: Path) -> None:
    rows = [{"image": "one.jpg", "captions": ["first\nof two\r\nlines", "second"]}, {"captions": "one\ntwo"}]
    found = contents(opened(write_table(raw, "jsonl", rows)))
    assert [item["text"] for item in found.values()] == [b"first of two lines\nsecond", b"one two"]


def test_a_root_that_is_no_folder_is_refused_with_the_closest_name(raw: Path) -> None:
    path = write_table(raw, "csv", ROWS)
    with pytest.raises(SourceError, match=r"--root .*/rwa is not there, or no folder\. Did you mean 'raw'\?"):
        opened(path, root=raw.parent / "rwa")
    with pytest.raises(SourceError, match="or no folder"):
        opened(path, root=path)


def class_label_table(path: Path, labels: list[int | None], names: list[str]) -> Path:
    features = {"label": {"_type": "ClassLabel", "names": names}}
    rows = [{"image": b"i", "label": label} for label in labels]
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())])
    table = pa.Table.from_pylist(rows, schema).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    pq.write_table(table, path)
    return path


def test_declared_classes_are_all_the_classes_in_their_order(tmp_path: Path) -> None:
    path = class_label_table(tmp_path / "t.parquet", [1, -1, None, 3], ["zebra", "ant", "bee"])
    source = opened(path)
    assert source.classes == ("zebra", "ant", "bee")
    items = listed(source)
    assert [item.label for item in items.values()] == ["ant", None, None, None]
    assert problems(items) == {"t.parquet#3": "invalid_label"}


def test_only_the_classes_of_the_label_count(tmp_path: Path) -> None:
    path = class_label_table(tmp_path / "t.parquet", [1], ["zebra", "ant"])
    rows = pq.read_table(path)
    pq.write_table(rows.append_column("kind", pa.array(["x"])), path)
    assert opened(path, columns=["label=kind"]).classes is None
    assert opened(write_table(tmp_path, "csv", [{"image": "a.jpg", "label": "a"}])).classes is None


def test_files_that_declare_different_classes_are_not_mixed(tmp_path: Path) -> None:
    class_label_table(tmp_path / "0.parquet", [0], ["ant", "bee"])
    class_label_table(tmp_path / "1.parquet", [0], ["bee", "ant"])
    with pytest.raises(SourceError, match=r"1\.parquet declares other classes for column 'label'"):
        listed(opened(tmp_path))


def test_a_column_of_splits_deals_the_rows_only_when_it_is_named(raw: Path) -> None:
    rows = [{"image": "one.jpg", "split": split} for split in ("train", "val", "", "a b")]
    path = write_table(raw, "csv", rows)
    source = opened(path)
    assert {item.split for item in listed(source).values()} == {""}
    assert any("--column split=split" in note for note in source.understanding.notes)
    source = opened(path, columns=["split=split"])
    items = listed(source)
    assert [item.split for item in items.values()] == ["train", "val", "", ""]
    assert problems(items) == {"table.csv#2": "invalid_label", "table.csv#3": "invalid_label"}
    assert items["table.csv#0"].columns == {} and source.understanding.notes == ()


def test_files_that_look_like_splits_are_named_in_a_note(tmp_path: Path) -> None:
    for name in ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"):
        pq.write_table(pa.Table.from_pylist([{"image": b"i"}]), tmp_path / name)
    notes = opened(tmp_path).understanding.notes
    assert notes == ("files of test and train are ingested together; name one of them, or --column split=COLUMN",)
