from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ingest.containment.client import survey_contained
from ingest.settings import Filters, SplitBy, Splits, VideoSettings
from ingest.survey import read_contents, surveyed_chunks
from shards.dataset import Dataset
from shards.errors import PlanMismatchError
from shards.manifest import Manifest
from shards.verify import verify
from tests.ingest.media import video
from tests.ingest.outcome import reasons, rejected, stored
from tests.ingest.pictures import encoded, jpeg, pixels, write_files

Run = Callable[..., Manifest]
DUPLICATES = Filters(duplicates=True)
NEAR = Filters(near_duplicates=4)
SPLITS = Splits(shares=(("val", 0.4),))


def photographs(count: int) -> dict[str, bytes | str]:
    """Pictures that differ, every fifth one there twice."""
    files: dict[str, bytes | str] = {f"{number:02d}.jpg": jpeg(number, width=96, height=80) for number in range(count)}
    return files | {f"copy{number:02d}.jpg": files[f"{number:02d}.jpg"] for number in range(0, count, 5)}


def test_copies_are_refused_and_named_wherever_they_lie(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", photographs(20))
    manifest = run_ingest(raw, tmp_path / "out", filters=DUPLICATES, shard_size=6)
    assert (manifest.num_samples, manifest.rejects) == (20, {"duplicate": 4})
    found = rejected(tmp_path / "out")
    assert found["copy05"] == ("duplicate", "the same bytes as '05', which is kept")


def test_a_picture_that_is_refused_anyway_does_not_keep_its_copy_out(tmp_path: Path, run_ingest: Run) -> None:
    picture = jpeg(1, width=96, height=80)
    raw = write_files(tmp_path / "raw", {"a.jpg": picture, "a.txt": b"\xff", "b.jpg": picture, "b.txt": "a caption"})
    run_ingest(raw, tmp_path / "out", filters=DUPLICATES)
    assert reasons(tmp_path / "out") == {"a": "bad_text_encoding"}
    assert set(stored(tmp_path / "out")) == {"b"}


def test_a_thumbnail_that_is_too_small_does_not_keep_its_original_out(tmp_path: Path, run_ingest: Run) -> None:
    large = pixels(3, width=160, height=128)
    raw = write_files(tmp_path / "raw", {"a.png": encoded(large[::4, ::4], "PNG"), "b.png": encoded(large, "PNG")})
    run_ingest(raw, tmp_path / "out", filters=Filters(near_duplicates=8, min_side=64))
    assert reasons(tmp_path / "out") == {"a": "too_small"}
    assert set(stored(tmp_path / "out")) == {"b"}


def test_a_damaged_file_is_refused_for_the_same_reason_in_the_same_words_with_and_without_a_survey(
    tmp_path: Path, run_ingest: Run
) -> None:
    raw = write_files(tmp_path / "raw", {"a.jpg": jpeg(1)[:400], "b.jpg": jpeg(2), "c.mp4": video()[:3000]})
    run_ingest(raw, tmp_path / "plain")
    run_ingest(raw, tmp_path / "surveyed", filters=DUPLICATES)
    assert rejected(tmp_path / "surveyed") == rejected(tmp_path / "plain")
    assert set(rejected(tmp_path / "plain")) == {"a", "c"}


def test_rows_without_media_are_no_copies_of_each_other(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {"t.csv": "image,label\n,a\n,b\n,c\n"})
    manifest = run_ingest(raw / "t.csv", tmp_path / "out", filters=DUPLICATES)
    assert "duplicate" not in manifest.rejects
    assert manifest.num_items == 3


def test_equal_pictures_are_in_the_same_split_whatever_is_said_about_them(tmp_path: Path, run_ingest: Run) -> None:
    files = photographs(40) | {f"{number:02d}.txt": f"caption {number}" for number in range(40)}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out", splits=SPLITS, shard_size=8)
    splits = {}
    for split in ("train", "val"):
        opened = Dataset.open(f"{tmp_path / 'out'}:{split}")
        splits |= dict.fromkeys(opened.column(np.arange(opened.num_samples), "source").tolist(), split)
    assert all(splits[f"copy{number:02d}"] == splits[f"{number:02d}"] for number in range(0, 40, 5))
    assert set(splits.values()) == {"train", "val"}
    assert verify(Dataset.open(tmp_path / "out")) == []


def test_a_video_is_cut_into_clips_that_know_their_place(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {"film.mp4": video(seconds=2.5), "film.txt": "waves"})
    settings = VideoSettings(clip_seconds=1.0, frames=4)
    manifest = run_ingest(raw, tmp_path / "out", video=settings)
    samples = stored(tmp_path / "out")
    assert sorted(samples) == ["film@0.000-1.000", "film@1.000-2.000", "film@2.000-2.500"]
    assert all(sample.fields["text"] == b"waves" for sample in samples.values())
    assert [samples[name].facts["video.start"] for name in sorted(samples)] == [0.0, 1.0, 2.0]
    dataset = Dataset.open(tmp_path / "out")
    ids = np.arange(dataset.num_samples)
    assert set(dataset.column(ids, "group")) == {"film"}
    assert sorted(dataset.column(ids, "place")) == [0, 1, 2]
    assert manifest.num_items == 3


def test_a_video_of_countless_clips_is_refused(
    tmp_path: Path, run_ingest: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.survey_task.MOST_CLIPS", 9)
    raw = write_files(tmp_path / "raw", {"film.mp4": video(), "a.jpg": jpeg(1)})
    run_ingest(raw, tmp_path / "out", video=VideoSettings(clip_seconds=1.0, clip_stride=0.1))
    assert rejected(tmp_path / "out")["film"][0] == "too_long"
    assert set(stored(tmp_path / "out")) == {"a"}


def test_a_survey_that_was_broken_off_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", photographs(300))
    options = {"filters": NEAR, "splits": SPLITS, "shard_size": 64}
    run_ingest(raw, tmp_path / "whole", **options)
    done = surveyed_chunks(tmp_path / "whole")
    assert len(done) == 2
    run_ingest(raw, tmp_path / "again", **options)
    for path in (tmp_path / "again" / "dataset.json", tmp_path / "again" / "survey" / "000001.arrow"):
        path.unlink()
    (tmp_path / "again" / "plan.arrow").unlink()
    run_ingest(raw, tmp_path / "again", **options)
    names = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert names == sorted(
        path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()
    )
    assert all((tmp_path / "whole" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_survey_of_something_else_is_refused(tmp_path: Path, run_ingest: Run, is_sealed: bool) -> None:
    raw = write_files(tmp_path / "raw", photographs(10))
    run_ingest(raw, tmp_path / "out", filters=DUPLICATES)
    if not is_sealed:
        (tmp_path / "out" / "dataset.json").unlink()
    with pytest.raises(PlanMismatchError, match=r"another plan \(image_size: None -> 32\)"):
        run_ingest(raw, tmp_path / "out", filters=DUPLICATES, image_size=32)
    with pytest.raises(PlanMismatchError, match=r"another plan \(filters.min_side: None -> 8\)"):
        run_ingest(raw, tmp_path / "out", filters=Filters(duplicates=True, min_side=8))
    (raw / "new.jpg").write_bytes(jpeg(99))
    with pytest.raises(PlanMismatchError, match=r"another plan \(the source: other items were listed"):
        run_ingest(raw, tmp_path / "out", filters=DUPLICATES)


def test_what_a_contained_survey_finds_out_is_what_one_in_this_process_does(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {**photographs(10), "torn.jpg": jpeg(1)[:300], "film.mp4": video()})
    options = {"filters": NEAR, "video": VideoSettings(clip_seconds=0.5), "splits": SPLITS}
    run_ingest(raw, tmp_path / "out", **options)
    here = read_contents(tmp_path / "out", 1)
    (tmp_path / "out" / "survey" / "000000.arrow").unlink()
    assert survey_contained(tmp_path / "out", 0, raw) == len(here)
    assert read_contents(tmp_path / "out", 1) == here
    assert here["torn"].problem is not None
    assert here["film"].seconds == pytest.approx(1.0, abs=0.11)


def test_groups_stay_in_one_split_without_a_look_at_the_files(tmp_path: Path, run_ingest: Run) -> None:
    rows = "".join(f"{number:02d}.jpg,speaker {number % 6}\n" for number in range(20))
    raw = write_files(tmp_path / "raw", {**photographs(20), "t.csv": f"image,group\n{rows}"})
    splits = Splits(shares=(("val", 0.5),), by=SplitBy.GROUP)
    run_ingest(raw / "t.csv", tmp_path / "out", splits=splits, columns=["group=group"])
    assert not (tmp_path / "out" / "survey").exists()
    groups = []
    for split in ("train", "val"):
        opened = Dataset.open(f"{tmp_path / 'out'}:{split}")
        groups.append(set(opened.column(np.arange(opened.num_samples), "group").tolist()))
    assert not groups[0] & groups[1]
    assert len(groups[0] | groups[1]) == 6
