from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.settings import IngestSettings
from shards.errors import SettingsError, SourceError
from shards.manifest import Manifest
from tests.ingest.outcome import rejected, stored
from tests.ingest.pictures import jpeg, write_files

Run = Callable[..., Manifest]


def test_a_path_that_is_not_there_is_refused_with_the_closest_name(tmp_path: Path, run_ingest: Run) -> None:
    write_files(tmp_path, {"photos/a.jpg": jpeg(1)})
    with pytest.raises(SourceError, match=r"There is no file or folder .*photoz\. Did you mean 'photos'\?"):
        run_ingest(tmp_path / "photoz", tmp_path / "out")
    with pytest.raises(SourceError, match="There is no file or folder"):
        run_ingest(tmp_path / "no" / "where", tmp_path / "out")


def test_a_file_of_an_unknown_kind_is_refused_with_the_kinds(tmp_path: Path, run_ingest: Run) -> None:
    write_files(tmp_path, {"data.xlsx": "x"})
    with pytest.raises(SourceError, match=r"is no source that maskloom reads: .*\.csv.*\.tar"):
        run_ingest(tmp_path / "data.xlsx", tmp_path / "out")


@pytest.mark.parametrize("name", ["data.CSV", "DATA.Csv"])
def test_the_case_of_a_table_s_suffix_does_not_matter(tmp_path: Path, run_ingest: Run, name: str) -> None:
    write_files(tmp_path, {name: "text\nhello\n"})
    assert run_ingest(tmp_path / name, tmp_path / "out").num_samples == 1


def test_an_empty_folder_is_refused_and_leaves_nothing(tmp_path: Path, run_ingest: Run) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(SourceError, match="holds nothing to ingest"):
        run_ingest(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_columns_are_refused_for_folders(tmp_path: Path, run_ingest: Run) -> None:
    with pytest.raises(SourceError, match="--column is for tables"):
        run_ingest(tmp_path, tmp_path / "out", columns=["image=x"])


def test_fields_that_are_required_reject_items_without_them(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "a.txt": "both", "b.jpg": jpeg(2), "c.txt": "text only"}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out", require=("image", "text"))
    assert set(stored(tmp_path / "out")) == {"a"}
    assert rejected(tmp_path / "out") == {
        "b": ("missing_field", "no text; it has image"),
        "c": ("missing_field", "no image; it has text"),
    }


def test_the_first_field_is_required_unless_told_otherwise(tmp_path: Path, run_ingest: Run) -> None:
    files = {"a.jpg": jpeg(1), "c.txt": "text only"}
    raw = write_files(tmp_path / "raw", files)
    run_ingest(raw, tmp_path / "out")
    assert set(stored(tmp_path / "out")) == {"a"}
    assert run_ingest(raw, tmp_path / "texts", require=("text",)).num_samples == 1


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"shard_size": 0}, "--shard-size 0"),
        ({"image_size": 0}, "--image-size 0"),
        ({"jpeg_quality": 101}, "--jpeg-quality 101"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        IngestSettings(**settings)  # type: ignore[arg-type]


def test_settings_come_back_from_json() -> None:
    settings = IngestSettings(image_size=64, require=("image",), seed=3)
    assert IngestSettings.from_json(settings.to_json()) == settings
