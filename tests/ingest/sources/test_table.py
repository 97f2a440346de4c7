import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import SettingsError, SourceError
from shards.manifest import Manifest
from tests.ingest.listing import contents, kinds, listed, opened, problems
from tests.ingest.outcome import reasons, rejected, stored
from tests.ingest.pictures import jpeg, png, write_files

Run = Callable[..., Manifest]

ROWS = [
    {"file_name": "one.jpg", "caption": "first, with a comma", "label": "cat", "license": "CC0", "width": 48},
    {"file_name": "sub/two.png", "caption": 'a "quoted" one', "label": "ant", "license": "", "width": None},
]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the pictures that ROWS names."""
    return write_files(tmp_path / "raw", {"one.jpg": jpeg(1), "sub/two.png": png(2)})


def write_table(folder: Path, suffix: str, rows: Sequence[Any]) -> Path:
    path = folder / f"table.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif suffix == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        import csv

        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_paths_give_the_same_samples_in_every_format(raw: Path, run_ingest: Run, suffix: str) -> None:
    path = write_table(raw, suffix, ROWS)
    manifest = run_ingest(path, raw / "out")
    assert manifest.classes == ("ant", "cat")
    assert manifest.licences == {"CC0": 1}
    samples = stored(raw / "out")
    first, second = samples[f"{path.name}#0"], samples[f"{path.name}#1"]
    assert (first.fields["image"], second.fields["image"]) == (jpeg(1), png(2))
    assert (first.fields["text"], second.fields["text"]) == (b"first, with a comma", b'a "quoted" one')
    assert (first.facts["label"], second.facts["label"]) == (1, 0)
    assert str(json.loads(first.fields["metadata"])["width"]) == "48"


def test_parquet_with_bytes_is_read(tmp_path: Path, run_ingest: Run) -> None:
    rows = [{"image": jpeg(n), "text": f"t{n}", "score": n / 2} for n in range(5)]
    path = write_table(tmp_path, "parquet", rows)
    run_ingest(path, tmp_path / "out")
    samples = stored(tmp_path / "out")
    for number in range(5):
        sample = samples[f"table.parquet#{number}"]
        assert (sample.fields["image"], sample.fields["text"]) == (jpeg(number), b"t%d" % number)
        assert json.loads(sample.fields["metadata"]) == {"score": number / 2}


def test_parquet_in_the_layout_of_hugging_face_is_read(tmp_path: Path, run_ingest: Run) -> None:
    rows = [{"image": {"bytes": png(n), "path": f"{n}.png"}, "label": n} for n in range(4)]
    rows.append({"image": {"bytes": None, "path": "gone.png"}, "label": 4})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "hf.parquet", row_group_size=2)
    run_ingest(tmp_path / "hf.parquet", tmp_path / "out")
    samples = stored(tmp_path / "out")
    assert [samples[f"hf.parquet#{n}"].fields["image"] for n in range(4)] == [png(n) for n in range(4)]
    assert [samples[f"hf.parquet#{n}"].facts["label"] for n in range(4)] == [0, 1, 2, 3]
    assert reasons(tmp_path / "out") == {"hf.parquet#4": "missing_file"}


def test_bytes_of_parquet_are_found_when_paths_have_another_root(tmp_path: Path, run_ingest: Run) -> None:
    path = write_table(tmp_path, "parquet", [{"image": jpeg(1), "text": "t"}])
    (tmp_path / "elsewhere").mkdir()
    manifest = run_ingest(path, tmp_path / "out", root=tmp_path / "elsewhere")
    assert manifest.num_samples == 1


def test_captions_in_a_column_of_bytes_are_texts(tmp_path: Path, run_ingest: Run) -> None:
    rows = [{"image": jpeg(1), "text": "café".encode()}, {"image": jpeg(2), "text": b"caf\xe9"}]
    run_ingest(write_table(tmp_path, "parquet", rows), tmp_path / "out")
    assert stored(tmp_path / "out")["table.parquet#0"].fields["text"] == "café".encode()
    assert reasons(tmp_path / "out") == {"table.parquet#1": "bad_text_encoding"}


def test_labels_in_a_column_of_bytes_are_rejected(tmp_path: Path, run_ingest: Run) -> None:
    run_ingest(write_table(tmp_path, "parquet", [{"image": jpeg(1), "label": b"cat"}]), tmp_path / "out")
    assert reasons(tmp_path / "out") == {"table.parquet#0": "invalid_label"}


def test_lists_of_captions_become_lines(raw: Path, run_ingest: Run) -> None:
    rows = [{"image": "one.jpg", "captions": ["first", "second"]}, {"image": "sub/two.png", "captions": []}]
    run_ingest(write_table(raw, "jsonl", rows), raw / "out")
    samples = stored(raw / "out")
    assert samples["table.jsonl#0"].fields["text"] == b"first\nsecond"
    assert "text" not in samples["table.jsonl#1"].fields


def test_a_column_can_be_named(raw: Path, run_ingest: Run) -> None:
    path = write_table(raw, "csv", [{"where": "one.jpg", "what": "said"}])
    run_ingest(path, raw / "out", columns=["image=where", "text=what"])
    assert stored(raw / "out")["table.csv#0"].fields["text"] == b"said"


def test_a_column_that_is_not_there_is_refused_with_the_closest_name(raw: Path, run_ingest: Run) -> None:
    path = write_table(raw, "csv", ROWS)
    with pytest.raises(SourceError, match=r"Column 'file_nam' was asked for as image, .*Did you mean 'file_name'\?"):
        run_ingest(path, raw / "out", columns=["image=file_nam"])
    with pytest.raises(SettingsError, match=r"cannot name a field.*Did you mean 'image'\?"):
        run_ingest(path, raw / "out", columns=["Image=file_name"])


def test_a_table_without_pictures_or_captions_is_refused_with_the_closest_name(raw: Path, run_ingest: Run) -> None:
    path = write_table(raw, "csv", [{"file_nmae": "one.jpg", "n": 1}])
    with pytest.raises(
        SourceError, match=r"No column of .* looks like .*--column image=NAME.*Did you mean 'file_name'\?"
    ):
        run_ingest(path, raw / "out")


def test_a_row_with_more_cells_than_the_header_is_rejected_with_its_line(raw: Path, run_ingest: Run) -> None:
    (raw / "t.csv").write_text("image,text\none.jpg,fine\none.jpg,a, comma\none.jpg,too\n")
    run_ingest(raw / "t.csv", raw / "out")
    assert set(stored(raw / "out")) == {"t.csv#0", "t.csv#2"}
    reason, detail = rejected(raw / "out")["t.csv#1"]
    assert reason == "bad_text_encoding"
    assert "t.csv, line 3 has more cells than the header: [' comma']" in detail and "in quotes" in detail


@pytest.mark.parametrize("suffix, delimiter", [("csv", ";"), ("csv", "\t"), ("csv", "|"), ("tsv", ",")])
def test_a_header_with_another_delimiter_is_understood_and_said(raw: Path, suffix: str, delimiter: str) -> None:
    table = raw / f"t.{suffix}"
    table.write_text("image,text\none.jpg,fine\n".replace(",", delimiter))
    source = opened(table)
    assert contents(source)[f"t.{suffix}#0"] == {"image": jpeg(1), "text": b"fine"}
    assert source.understanding.notes == (f"cells are separated by {delimiter!r}, as the header shows",)


def test_one_column_in_quotes_is_one_column(raw: Path) -> None:
    (raw / "t.csv").write_text('"image;text"\none.jpg\n')
    with pytest.raises(SourceError, match="it has image;text"):
        opened(raw / "t.csv")


def test_columns_that_share_a_name_are_refused(raw: Path) -> None:
    (raw / "t.csv").write_text("image,text,text,,\none.jpg,a,b,,\n")
    with pytest.raises(SourceError, match=r"t\.csv has several columns called 'text'"):
        opened(raw / "t.csv")
    (raw / "t.csv").write_text("image,text,,\none.jpg,a,,\n")
    assert len(listed(opened(raw / "t.csv"))) == 1


def test_a_row_with_fewer_cells_lacks_its_fields(raw: Path, run_ingest: Run) -> None:
    (raw / "t.csv").write_text("text,image\nfine,one.jpg\nalone\n")
    run_ingest(raw / "t.csv", raw / "out")
    assert reasons(raw / "out") == {"t.csv#1": "missing_field"}


def test_paths_that_leave_the_root_are_rejected(raw: Path, run_ingest: Run) -> None:
    (raw.parent / "secret.jpg").write_bytes(jpeg(3))
    (raw / "leak.jpg").symlink_to(raw.parent / "secret.jpg")
    (raw / "inner.jpg").symlink_to(raw / "one.jpg")
    written = ["../secret.jpg", str(raw.parent / "secret.jpg"), "sub/../../secret.jpg", "leak.jpg", "/etc/passwd"]
    kept = ["one.jpg", str(raw / "one.jpg"), "sub/../one.jpg", "inner.jpg", "./one.jpg"]
    run_ingest(write_table(raw, "csv", [{"image": path} for path in [*written, *kept]]), raw / "out")
    assert reasons(raw / "out") == {f"table.csv#{n}": "outside_root" for n in range(len(written))}
    assert all(sample.fields["image"] == jpeg(1) for sample in stored(raw / "out").values())
    assert "name a wider --root" in rejected(raw / "out")["table.csv#1"][1]


def test_paths_that_are_no_files_are_rejected_with_their_reason(raw: Path, run_ingest: Run) -> None:
    rows = [
        {"image": name}
        for name in ["gone.jpg", "one.jpg/x.jpg", "sub", "nul\0.jpg", "n" * 300 + ".jpg", "lone\udce9.jpg"]
    ]
    run_ingest(write_table(raw, "jsonl", [{"image": "one.jpg"}, *rows]), raw / "out")
    assert list(dict(sorted(reasons(raw / "out").items())).values()) == [
        "missing_file",
        "missing_file",
        "unreadable_file",
        "unreadable_file",
        "unreadable_file",
        "missing_file",
    ]


def test_captions_that_are_not_utf_8_are_rejected_and_the_rest_is_kept(raw: Path, run_ingest: Run) -> None:
    (raw / "t.csv").write_bytes(b"image,text\none.jpg,caf\xe9\nsub/two.png,fine\n")
    run_ingest(raw / "t.csv", raw / "out")
    assert reasons(raw / "out") == {"t.csv#0": "bad_text_encoding"}
    assert stored(raw / "out")["t.csv#1"].fields["text"] == b"fine"


@pytest.mark.parametrize(
    "column, reason", [("notes", "bad_text_encoding"), ("label", "invalid_label"), ("licence", "bad_text_encoding")]
)
def test_other_cells_that_are_not_utf_8_reject_their_row(raw: Path, run_ingest: Run, column: str, reason: str) -> None:
    (raw / "t.csv").write_bytes(b"image," + column.encode() + b"\none.jpg,caf\xe9\nsub/two.png,fine\n")
    run_ingest(raw / "t.csv", raw / "out")
    assert reasons(raw / "out") == {"t.csv#0": reason}
    assert set(stored(raw / "out")) == {"t.csv#1"}


def test_lone_surrogates_in_json_reject_their_row(raw: Path, run_ingest: Run) -> None:
    lines = [
        r'{"image": "one.jpg", "text": "\ud800"}',
        r'{"image": "one.jpg", "note": "\ud800"}',
        '{"image": "one.jpg"}',
    ]
    (raw / "t.jsonl").write_text("\n".join(lines))
    run_ingest(raw / "t.jsonl", raw / "out")
    assert reasons(raw / "out") == {"t.jsonl#0": "bad_text_encoding", "t.jsonl#1": "bad_text_encoding"}


def test_a_byte_order_mark_is_no_part_of_the_first_column(raw: Path, run_ingest: Run) -> None:
    (raw / "t.csv").write_bytes("\ufeffimage,text\none.jpg,fine\n".encode())
    assert run_ingest(raw / "t.csv", raw / "out").num_samples == 1


def test_metadata_that_is_no_json_number_stays_json(raw: Path, run_ingest: Run) -> None:
    rows = [
        {"image": "one.jpg", "score": float("nan"), "high": float("inf")},
        {"image": "one.jpg", "score": 0.5, "high": 1.0},
    ]
    run_ingest(write_table(raw, "parquet", rows), raw / "out")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    samples = stored(raw / "out")
    assert json.loads(samples["table.parquet#0"].fields["metadata"], parse_constant=refuse) == {
        "high": None,
        "score": None,
    }
    assert json.loads(samples["table.parquet#1"].fields["metadata"]) == {"high": 1.0, "score": 0.5}


@pytest.mark.parametrize("line", ['{"image": ', "[1]", "[" * 100_000])
def test_a_line_that_is_no_json_object_is_rejected_with_its_number(raw: Path, line: str) -> None:
    (raw / "t.jsonl").write_text(f'{{"image": "one.jpg"}}\n{line}\n{{"image": "one.jpg"}}\n')
    items = listed(opened(raw / "t.jsonl"))
    assert list(items) == ["t.jsonl#0", "t.jsonl#1", "t.jsonl#2"]
    assert problems(items) == {"t.jsonl#1": "bad_text_encoding"}
    problem = items["t.jsonl#1"].problem
    assert problem is not None and "t.jsonl, line 2 is" in problem[1]


def test_a_table_whose_first_lines_are_all_bad_is_refused(raw: Path) -> None:
    (raw / "t.jsonl").write_text("one\ntwo\n")
    with pytest.raises(SourceError, match=r"t\.jsonl, line 1 is not JSON"):
        opened(raw / "t.jsonl")


@pytest.mark.parametrize("kept", [4, 100, 5000])
def test_a_parquet_file_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_table(tmp_path, "parquet", [{"image": jpeg(n), "text": "t"} for n in range(20)])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"table\.parquet"):
        opened(path)


def test_damaged_bytes_in_a_parquet_file_reject_their_rows(tmp_path: Path) -> None:
    path = write_table(tmp_path, "parquet", [{"image": jpeg(n), "text": "t"} for n in range(20)])
    content = path.read_bytes()
    path.write_bytes(content[:2000] + bytes(3000) + content[5000:])
    assert "unreadable_file" in contents(opened(path)).values()


def test_the_listing_of_a_parquet_file_reads_no_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image": {"bytes": jpeg(n), "path": f"{n}.jpg"}, "audio": b"sound", "text": "t"} for n in range(3)]
    path = write_table(tmp_path, "parquet", rows)
    asked: list[list[str]] = []
    original = pq.ParquetFile.iter_batches

    def watched(self: Any, *arguments: Any, columns: list[str], **options: Any) -> Any:
        asked.append(columns)
        return original(self, *arguments, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert kinds(listed(opened(path))["table.parquet#2"]) == {"image": "image", "audio": "audio", "text": "text"}
    assert {column for columns in asked for column in columns} == {"image.path", "text"}


def test_bytes_and_paths_may_mix_in_one_column(raw: Path) -> None:
    rows = [
        {"image": {"bytes": jpeg(5), "path": "gone.jpg"}},
        {"image": {"bytes": None, "path": "one.jpg"}},
        {"image": {"bytes": None, "path": None}},
        {"image": None},
    ]
    found = contents(opened(write_table(raw, "parquet", rows)))
    assert list(found.values()) == [{"image": jpeg(5)}, {"image": jpeg(1)}, {}, {}]


def test_what_hugging_face_datasets_say_about_columns_is_used(tmp_path: Path) -> None:
    features = {
        "picture": {"_type": "Image"},
        "talk": {"_type": "Audio"},
        "label": {"_type": "ClassLabel", "names": ["ant", "bee"]},
    }
    rows = [
        {"picture": {"bytes": jpeg(n), "path": None}, "talk": {"bytes": b"s", "path": "a.mp3"}, "label": n - 1}
        for n in range(3)
    ]
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (tmp_path / "data").mkdir()
    for number in range(2):
        pq.write_table(table, tmp_path / f"data/train-0000{number}-of-00002.parquet")
    source = opened(tmp_path)
    items = listed(source)
    assert [item.label for item in items.values()] == [None, "ant", "bee"] * 2
    assert kinds(items["data/train-00001-of-00002.parquet#0"]) == {"audio": "audio", "image": "image"}
    assert contents(source)["data/train-00001-of-00002.parquet#2"] == {"audio": b"s", "image": jpeg(2)}


def test_tables_of_one_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"image": jpeg(1), "label": 1}]), tmp_path / "0.parquet")
    pq.write_table(pa.Table.from_pylist([{"image": jpeg(1)}]), tmp_path / "1.parquet")
    with pytest.raises(SourceError, match=r"1\.parquet has no column label"):
        listed(opened(tmp_path))


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
