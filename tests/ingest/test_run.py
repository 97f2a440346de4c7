import errno
import io
import os
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.progress import print_hint
from ingest.run import Cluster, ingest
from ingest.settings import IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.detect import FolderLabels, open_source
from shards.dataset import Dataset
from shards.errors import SourceError, StorageError
from shards.manifest import Manifest
from shards.receipt import committed_shards, read_receipt
from shards.verify import verify
from tests.ingest.outcome import reasons, rejected, stored
from tests.ingest.pictures import captioned_folder, encoded, exif_of, jpeg, write_files

Run = Callable[..., Manifest]


def files_of(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_two_ingests_of_one_source_give_the_same_bytes(
    sealed: Path, pictures: Path, tmp_path: Path, run_ingest: Run
) -> None:
    run_ingest(pictures, tmp_path / "again", shard_size=70)
    assert files_of(tmp_path / "again") == files_of(sealed)


def test_a_finished_ingest_run_again_changes_nothing(dataset_root: Path, pictures: Path, run_ingest: Run) -> None:
    before = files_of(dataset_root)
    assert run_ingest(pictures, dataset_root, shard_size=70).num_samples == 150
    assert files_of(dataset_root) == before


def test_a_sealed_dataset_is_sound(sealed: Path) -> None:
    assert verify(Dataset.open(sealed)) == []


def test_a_disk_that_fills_up_keeps_what_is_finished_and_the_resume_completes_it(
    sealed: Path, pictures: Path, tmp_path: Path, run_ingest: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    written: list[int] = []
    first_shard = Dataset.open(sealed).shard_paths(0)[0].stat().st_size

    def write(self: object, data: bytes) -> None:
        written.append(len(data))
        if sum(written) > first_shard + 5000:
            raise OSError(28, "No space left on device")
        original(self, data)

    from shards.tar import TarWriter

    original: Callable[[Any, bytes], None] = TarWriter._write
    with monkeypatch.context() as patch:
        patch.setattr("ingest.run.random.sample", lambda shards, _: shards)
        patch.setattr(TarWriter, "_write", write)
        with pytest.raises(
            StorageError, match=r"No space left while writing .*free some space and run the same command"
        ):
            run_ingest(pictures, out, shard_size=70)
    assert committed_shards(out) == {0}
    assert not (out / "dataset.json").exists()
    run_ingest(pictures, out, shard_size=70)
    assert files_of(out) == files_of(sealed)


@pytest.mark.parametrize("limit", [100, 3000, 40_000])
def test_whatever_file_the_disk_refuses_the_resume_completes_the_dataset(
    sealed: Path, pictures: Path, tmp_path: Path, run_ingest: Run, limit: int
) -> None:
    out = tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StorageError, match="No space left"):
            run_ingest(pictures, out, shard_size=70)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run_ingest(pictures, out, shard_size=70)
    shutil.rmtree(out / "tmp", ignore_errors=True)
    expected = files_of(sealed)
    assert {path: data for path, data in files_of(out).items() if path in expected} == expected


@pytest.mark.parametrize("folder", ["/proc/nowhere", "{file}/below", "{file}"])
def test_an_output_that_cannot_be_written_is_refused_by_name(
    pictures: Path, tmp_path: Path, run_ingest: Run, folder: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = Path(folder.format(file=tmp_path / "file"))
    with pytest.raises(StorageError, match=f"Cannot write {path}"):
        run_ingest(pictures, path)


def planned(raw: Path, out: Path) -> None:
    source = open_source(raw, columns={}, root=None, labels=FolderLabels.AUTO)
    commit_plan(out, make_plan(source.scan(), IngestSettings()))


def test_files_that_change_between_plan_and_task_are_rejected_each_with_its_reason(tmp_path: Path) -> None:
    raw, out = write_files(tmp_path / "raw", {f"{n}.jpg": jpeg(n) for n in range(6)}), tmp_path / "out"
    planned(raw, out)
    (raw / "0.jpg").unlink()
    (raw / "1.jpg").write_bytes(jpeg(9))
    os.utime(raw / "2.jpg", ns=(1, 1))
    (raw / "3.jpg").unlink()
    (raw / "3.jpg").symlink_to(raw / "5.jpg")
    (raw / "4.jpg").unlink()
    os.mkfifo(raw / "4.jpg")
    receipt = write_shard(out, 0, raw)
    assert receipt.samples == 1
    assert receipt.rejects == {"changed_file": 2, "missing_file": 1, "unreadable_file": 2}


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda path: path.unlink(), "missing_file"),
        (lambda path: path.write_bytes(b"PAR1"), "changed_file"),
        (lambda path: pq.write_table(pa.table({"image": [jpeg(7), jpeg(8)]}), path), "changed_file"),
    ],
)
def test_a_table_that_changes_between_plan_and_task_rejects_its_rows(
    tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    path, out = tmp_path / "t.parquet", tmp_path / "out"
    pq.write_table(pa.table({"image": [jpeg(1), jpeg(2)]}), path)
    os.utime(path, ns=(1, 1))
    planned(path, out)
    change(path)
    assert write_shard(out, 0, tmp_path).rejects == {reason: 2}


def test_a_source_of_nothing_but_rejects_is_a_sound_empty_dataset(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {f"{n}.jpg": b"broken" for n in range(5)})
    manifest = run_ingest(raw, tmp_path / "out", shard_size=2)
    assert (manifest.num_samples, manifest.num_rejects, manifest.num_items) == (0, 5, 5)
    assert verify(Dataset.open(tmp_path / "out")) == []
    assert set(reasons(tmp_path / "out").values()) == {"unknown_format"}


def test_an_unforeseen_failure_of_a_decoder_costs_one_item(
    tmp_path: Path, run_ingest: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_files(tmp_path / "raw", {f"{n}.jpg": jpeg(n) for n in range(3)})

    def fail(data: bytes, name: str, settings: IngestSettings) -> object:
        if data == jpeg(1):
            raise ZeroDivisionError("inside a library")
        return original(data, name, settings)

    from ingest.images import store_image

    original = store_image
    monkeypatch.setattr("ingest.encode.store_image", fail)
    run_ingest(raw, tmp_path / "out")
    assert reasons(tmp_path / "out") == {"1": "decoder_failed"}
    assert set(stored(tmp_path / "out")) == {"0", "2"}


def test_two_ingests_into_one_folder_at_once_make_one_sound_dataset(
    in_process: None, sealed: Path, pictures: Path, tmp_path: Path
) -> None:
    def run(_: int) -> Manifest:
        source = open_source(pictures, columns={}, root=None, labels=FolderLabels.AUTO)
        console = Console(file=io.StringIO())
        return ingest(
            source, tmp_path / "out", IngestSettings(shard_size=70), cluster=Cluster(workers=1), console=console
        )

    with ThreadPoolExecutor(3) as threads:
        manifests = list(threads.map(run, range(3)))
    assert all(manifest == manifests[0] for manifest in manifests)
    assert files_of(tmp_path / "out") == files_of(sealed)
    assert verify(Dataset.open(tmp_path / "out")) == []


@pytest.mark.slow
def test_worker_processes_write_the_same_bytes_and_their_errors_arrive_whole(
    sealed: Path, pictures: Path, tmp_path: Path
) -> None:
    source = open_source(pictures, columns={}, root=None, labels=FolderLabels.AUTO)
    console = Console(file=io.StringIO())
    ingest(source, tmp_path / "out", IngestSettings(shard_size=70), cluster=Cluster(workers=2), console=console)
    assert files_of(tmp_path / "out") == files_of(sealed)
    assert [read_receipt(tmp_path / "out", shard).samples for shard in range(3)] == [70, 70, 10]


def test_numbers_of_samples_by_label_survive_the_chain(tmp_path: Path, run_ingest: Run) -> None:
    run_ingest(captioned_folder(tmp_path / "raw", 21), tmp_path / "out")
    labels = [sample.facts["label"] for sample in stored(tmp_path / "out").values()]
    assert sorted(labels) == sorted(number % 7 for number in range(21))


def test_a_source_that_was_moved_between_two_attempts_is_ingested_from_where_it_is_now(
    tmp_path: Path, run_ingest: Run
) -> None:
    raw, out = write_files(tmp_path / "raw", {f"{n}.jpg": jpeg(n) for n in range(4)}), tmp_path / "out"
    planned(raw, out)
    moved = raw.rename(tmp_path / "moved")
    manifest = run_ingest(moved, out)
    assert (manifest.num_samples, manifest.num_rejects) == (4, 0)


def test_a_source_that_is_gone_rejects_nothing(tmp_path: Path) -> None:
    raw, out = write_files(tmp_path / "raw", {"0.jpg": jpeg(0)}), tmp_path / "out"
    planned(raw, out)
    with pytest.raises(SourceError, match=r"is not there.*nothing was rejected"):
        write_shard(out, 0, tmp_path / "unmounted")


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.ESTALE])
def test_a_fault_of_the_machine_rejects_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
    raw, out = write_files(tmp_path / "raw", {"0.jpg": jpeg(0)}), tmp_path / "out"
    planned(raw, out)

    def refuse(*_: object) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr("ingest.raw_bytes.local_files.os.open", refuse)
    with pytest.raises(SourceError, match="cannot be read at present"):
        write_shard(out, 0, raw)


def test_running_out_of_memory_rejects_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, out = write_files(tmp_path / "raw", {"0.jpg": jpeg(0)}), tmp_path / "out"
    planned(raw, out)

    def exhaust(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ingest.encode.store_image", exhaust)
    with pytest.raises(MemoryError):
        write_shard(out, 0, raw)


def test_an_extension_that_is_not_utf_8_does_not_keep_the_dataset_from_being_sealed(
    tmp_path: Path, run_ingest: Run
) -> None:
    raw = write_files(tmp_path / "raw", {"0.jpg": jpeg(0)})
    (raw / os.fsdecode(b"x.\xff")).write_bytes(b"")
    assert run_ingest(raw, tmp_path / "out").ignored == {".?": 1}


def test_a_dataset_inside_its_own_source_is_refused(tmp_path: Path, run_ingest: Run) -> None:
    raw = write_files(tmp_path / "raw", {"0.jpg": jpeg(0)})
    with pytest.raises(SourceError, match="inside its own source"):
        run_ingest(raw, raw / "dataset")


def test_tars_beside_pictures_are_not_taken_for_a_webdataset(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw", {"0.jpg": jpeg(0), "backup.tar": b""})
    with pytest.raises(SourceError, match="holds both tars and files"):
        open_source(raw, columns={}, root=None, labels=FolderLabels.AUTO)


def test_a_parquet_file_of_many_row_groups_gives_every_cell(tmp_path: Path, run_ingest: Run) -> None:
    path = tmp_path / "t.parquet"
    data = [jpeg(number) for number in range(9)]
    pq.write_table(pa.table({"image": data}), path, row_group_size=2)
    assert run_ingest(path, tmp_path / "out", shard_size=4).num_samples == 9
    dataset = Dataset.open(tmp_path / "out")
    assert {sample.fields["image"] for sample in dataset.read(np.arange(9), ["image"])} == set(data)


@pytest.mark.parametrize("orientation", [2, 3, 5, 6])
def test_a_depth_map_beside_a_turned_picture_is_refused_because_nothing_tells_how_it_lies(
    tmp_path: Path, run_ingest: Run, orientation: int
) -> None:
    depth = encoded(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)), "PNG")
    turned = jpeg(1, width=40, height=40, exif=exif_of(orientation))
    files = {"a.jpg": turned, "a.depth.png": depth, "b.jpg": jpeg(2, width=40, height=40), "b.depth.png": depth}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out")
    reason, detail = rejected(tmp_path / "out")["a"]
    assert reason == "misaligned"
    assert f"EXIF orientation {orientation}" in detail
    assert set(stored(tmp_path / "out")) == {"b"}


def test_a_depth_map_of_another_shape_than_its_picture_is_refused(tmp_path: Path, run_ingest: Run) -> None:
    depth = encoded(Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60)), "PNG")
    raw = write_files(tmp_path / "raw", {"a.jpg": jpeg(1, width=40, height=60), "a.depth.png": depth})
    run_ingest(raw, tmp_path / "out")
    assert rejected(tmp_path / "out")["a"] == (
        "misaligned",
        "the depth of 60x40 has not the shape of the image of 40x60",
    )


def test_names_that_look_like_fields_of_one_item_give_a_hint(tmp_path: Path) -> None:
    files = {f"{number}_{ending}": jpeg(number) for number in range(6) for ending in ("left.jpg", "right.jpg")}
    raw, said = write_files(tmp_path / "raw", files), io.StringIO()
    print_hint(open_source(raw), open_source(raw).scan(), Console(file=said, width=200))
    assert "--field left=_left.jpg --field right=_right.jpg" in said.getvalue()
    ruled, said = open_source(raw, fields=["left=_left.jpg", "right=_right.jpg"]), io.StringIO()
    print_hint(ruled, ruled.scan(), Console(file=said))
    assert said.getvalue() == ""
