import json
from collections.abc import Callable
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
from tests.ingest.sources.tables import ROWS, write_table

Run = Callable[..., Manifest]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the pictures that ROWS names."""
    return write_files(tmp_path / "raw", {"one.jpg": jpeg(1), "sub/two.png": png(2)})


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
