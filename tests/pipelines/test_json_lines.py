"""Files of JSON lines."""

from pathlib import Path

import pytest

from pipelines.json_lines import DamagedLinesError, append_line, complete_lines
from shards.errors import StorageError


def records(path: Path) -> list[dict[str, int]]:
    return [record for _, record in complete_lines(path)]


def test_a_torn_line_is_left_out_and_the_next_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    append_line(path, {"step": 0})
    with path.open("a") as file:
        file.write('{"step": 4, "hardw')
    assert records(path) == [{"step": 0}]
    append_line(path, {"step": 4})
    assert records(path) == [{"step": 0}, {"step": 4}]


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert records(tmp_path / "starts.jsonl") == []


def test_a_whole_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    path.write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(DamagedLinesError, match=r"Line 2 of .*starts\.jsonl is damaged"):
        records(path)


def test_a_line_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        append_line(tmp_path / "file" / "starts.jsonl", {"step": 0})
