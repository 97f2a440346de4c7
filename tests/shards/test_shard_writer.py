import io
import tarfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest.shard_task import write_shard
from shards.dataset import Dataset
from shards.receipt import read_receipt, receipt_path
from shards.sample import Provenance, Sample
from shards.schema import MAX_DETAIL_CHARACTERS, RejectReason
from shards.shard_writer import Member, ShardWriter, raw_sha256
from shards.tar import TarMember, iterate_members


def write_captions(root: Path, captions: list[str]) -> None:
    with ShardWriter(root, shard=0, plan_id="plan", fields={"text": "text"}) as writer:
        for number, caption in enumerate(captions):
            data = caption.encode()
            writer.add(
                Sample(f"key-{number}", {"text": data}, {"text.characters": len(caption), "text.captions": 1}),
                {"text": Member(extension="txt", sha256=raw_sha256(data))},
                Provenance(source=f"item {number}", licence="CC0" if number % 2 else None),
            )
        writer.commit()


def test_plain_webdataset_reads_every_sample_as_it_was_stored(sealed: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        dataset = Dataset.open(sealed)
        tars = [str(dataset.shard_paths(shard)[0]) for shard in range(dataset.manifest.num_shards)]
        pipeline = webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode("pil")
        read = list(pipeline.to_tuple("__key__", "jpg;png", "txt", "cls"))
    assert len(read) == dataset.num_samples
    ids = np.arange(dataset.num_samples)
    stored = {sample.key: sample for sample in dataset.read(ids, ("image", "text", "label"))}
    assert {key for key, *_ in read} == set(stored)
    for key, image, text, label in read:
        sample = stored[key]
        with Image.open(io.BytesIO(sample.fields["image"])) as ours:
            assert np.array_equal(np.asarray(image), np.asarray(ours.convert("RGB")))
        assert text.encode() == sample.fields["text"]
        assert label == sample.facts["label"] == int(sample.fields["label"])


def test_webdataset_tuples_of_jpeg_caption_and_class(sealed: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        tars = [str(path) for path in sorted((sealed / "data").glob("*.tar"))]
        complete = webdataset.WebDataset(tars, shardshuffle=False).select(lambda sample: "jpg" in sample)
        triples = list(complete.decode("pil").to_tuple("jpg", "txt", "cls"))
    assert len(triples) == 120
    assert all(image.size == (48, 40) and text.startswith("caption of") for image, text, _ in triples)


def test_members_of_a_sample_stand_side_by_side(sealed: Path) -> None:
    for tar in (sealed / "data").glob("*.tar"):
        with tarfile.open(tar) as archive:
            keys = [info.name.partition(".")[0] for info in archive]
        assert [key for key, after in zip(keys, [*keys[1:], None], strict=True) if key != after] == list(
            dict.fromkeys(keys)
        )


def test_index_offsets_point_at_the_payloads(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    tar, _ = dataset.shard_paths(0)
    offsets = {member.name: member.offset for member in iterate_members(tar) if isinstance(member, TarMember)}
    reader = dataset.reader(0)
    for row in range(reader.num_rows):
        key = reader.facts(row // 64, "key")[row % 64]
        assert reader.facts(row // 64, "text.offset")[row % 64] == offsets[f"{key}.txt"]
        assert reader.facts(row // 64, "label.offset")[row % 64] == offsets[f"{key}.cls"]


def test_racing_writers_of_a_shard_leave_one_receipt_and_the_same_bytes(dataset_root: Path, pictures: Path) -> None:
    before = {path: path.read_bytes() for path in dataset_root.rglob("*") if path.is_file()}
    receipt_path(dataset_root, 1).unlink()
    with ThreadPoolExecutor(4) as threads:
        receipts = list(threads.map(lambda _: write_shard(dataset_root, 1, pictures), range(4)))
    assert all(receipt == receipts[0] for receipt in receipts)
    assert {path: path.read_bytes() for path in dataset_root.rglob("*") if path.is_file()} == before


def test_a_finished_shard_is_not_replaced_by_a_later_writer(dataset_root: Path, pictures: Path) -> None:
    before = receipt_path(dataset_root, 0).read_bytes()
    assert write_shard(dataset_root, 0, pictures).to_json() == before == receipt_path(dataset_root, 0).read_bytes()


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, shard=0, plan_id="p", fields={"text": "text"}):
        raise RuntimeError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_receipt_counts_samples_bytes_and_licences(tmp_path: Path) -> None:
    write_captions(tmp_path, ["one", "three"])
    receipt = read_receipt(tmp_path, 0)
    assert (receipt.samples, receipt.field_samples, receipt.field_bytes) == (2, {"text": 2}, {"text": 8})
    assert receipt.licences == {"CC0": 1}
    assert len(receipt.to_json()) < 2048


def test_the_detail_of_a_reject_is_bounded_and_valid_utf_8(tmp_path: Path) -> None:
    from shards.index import ArrowTable

    with ShardWriter(tmp_path, shard=0, plan_id="p", fields={"text": "text"}) as writer:
        writer.reject("a", source="s", reason=RejectReason.MISSING_FILE, detail="x" * 9999)
        writer.reject("b", source="s", reason=RejectReason.MISSING_FILE, detail="caf\udce9.txt is gone")
        receipt = writer.commit()
    rows = list(ArrowTable(tmp_path / receipt.files["rejects"].path).rows())
    assert len(rows[0]["detail"]) == MAX_DETAIL_CHARACTERS
    assert rows[1]["detail"] == "caf?.txt is gone"
    assert receipt.rejects == {"missing_file": 2}
