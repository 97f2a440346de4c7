"""Damaged samples in a stream: found, named, and refused or replaced, counted and written down."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.batch import Batch
from pipelines.damage import DamagedSample, DamageLedger, SubstituteDamaged, TooMuchDamageError
from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image, Tokens
from pipelines.stream import Component, Stream
from pipelines.views import CenterCrop, FreshViews, ViewSet
from shards.dataset import Dataset
from shards.errors import CorruptShardError, Damage
from shards.target_spec import Coding
from shards.target_table import TargetSpec
from shards.target_writer import seal_target, write_target_shard

BATCH = 24
STEPS = 12
POLICY = CenterCrop(size=16)


@pytest.fixture
def root(dataset: Dataset, tmp_path: Path) -> Path:
    """A dataset of three shards, 269 samples, that a test may damage."""
    return Path(shutil.copytree(dataset.root, tmp_path, dirs_exist_ok=True))


def open_stream(root: Path, **changed: Any) -> Stream:
    settings: dict[str, Any] = {
        "modalities": [Image(size=16, patch=4)],
        "views": FreshViews(policy=POLICY),
        "masking": {"image": RandomPatches(ratio=0.75)},
        "global_batch": BATCH,
        "seed": 1,
    }
    return Stream([Component(dataset=Dataset.open(root))], **settings | changed)


def take(stream: Stream, count: int = STEPS) -> list[Batch]:
    with closing(stream):
        return list(islice(stream, count))


@pytest.fixture(scope="module")
def sound(dataset: Dataset) -> list[Batch]:
    """The batches of the dataset before anything was damaged."""
    return take(open_stream(Path(dataset.root)))


def damage_of(batches: list[Batch]) -> list[DamagedSample]:
    return [found for batch in batches for found in batch.damage]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def place_of(root: Path, key: str) -> tuple[Path, int]:
    """Return the tar of a sample and where the header of its picture stands."""
    for tar in sorted(root.glob("*.tar")):
        place = tar.read_bytes().find(f"{key}.jpg".encode())
        if place >= 0:
            return tar, place
    raise AssertionError(key)


def damage_payload(root: Path) -> list[str]:
    flip(place_of(root, "sample-0040")[0], place_of(root, "sample-0040")[1] + 512 + 60)
    return ["sample-0040"]


def damage_header(root: Path) -> list[str]:
    flip(place_of(root, "sample-0150")[0], place_of(root, "sample-0150")[1] + 110)
    return ["sample-0150"]


def damage_end(root: Path) -> list[str]:
    tar, place = place_of(root, "sample-0266")
    with tar.open("r+b") as file:
        file.truncate(place + 512 + 10)
    return ["sample-0266", "sample-0267", "sample-0268"]


def damage_shard(root: Path) -> list[str]:
    place_of(root, "sample-0130")[0].unlink()
    return [f"sample-{number:04d}" for number in range(130, 194)]


DAMAGES = pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (damage_payload, Damage.PAYLOAD),
        (damage_header, Damage.HEADER),
        (damage_end, Damage.TRUNCATED),
        (damage_shard, Damage.MISSING),
    ],
)


@DAMAGES
@pytest.mark.parametrize("loading", [Here(), Workers(count=1)])
def test_damage_is_an_error_that_names_the_sample(
    root: Path, damage: Callable[[Path], list[str]], kind: Damage, loading: Loading
) -> None:
    keys = damage(root)
    with pytest.raises(CorruptShardError) as caught:
        take(open_stream(root, loading=loading))
    assert caught.value.kind == kind
    assert caught.value.shard in str(caught.value)
    if kind != Damage.MISSING:  # where the whole file is gone, the file is named
        assert caught.value.key in keys
        assert caught.value.key in str(caught.value)


@DAMAGES
@pytest.mark.parametrize("loading", [Here(), Workers(count=2), Threads(count=2)])
def test_others_stand_in_for_damaged_samples_and_all_else_is_as_it_was(
    root: Path, sound: list[Batch], damage: Callable[[Path], list[str]], kind: Damage, loading: Loading
) -> None:
    keys = set(damage(root))
    batches = take(open_stream(root, loading=loading, damage=SubstituteDamaged(seed=1)))
    replaced = 0
    for batch, expected in zip(batches, sound, strict=True):
        for row, (key, wanted) in enumerate(zip(batch.keys, expected.keys, strict=True)):
            assert key not in keys
            if wanted in keys:
                replaced += 1
                continue
            assert key == wanted
            assert torch.equal(batch.inputs["image"][row], expected.inputs["image"][row])
            assert torch.equal(batch.plans["image"].visible[row], expected.plans["image"].visible[row])
    found = damage_of(batches)
    assert replaced >= len(keys)
    assert len(found) >= replaced  # more, where a sample that was to stand in is damaged too
    assert {one.kind for one in found} == {kind}
    assert all(one.shard for one in found)
    assert kind == Damage.MISSING or {one.key for one in found} <= keys
    assert all(one.message for one in found)


def test_who_stands_in_does_not_depend_on_who_reads(root: Path) -> None:
    damage_shard(root)
    policy = SubstituteDamaged(seed=1)
    here = take(open_stream(root, damage=policy))
    there = take(open_stream(root, damage=policy, loading=Workers(count=2)))
    assert [batch.keys for batch in here] == [batch.keys for batch in there]
    assert damage_of(here) == damage_of(there)
    assert [batch.keys for batch in take(open_stream(root, damage=SubstituteDamaged(seed=2)))] != [
        batch.keys for batch in here
    ]


def test_labels_and_masks_are_those_of_the_sample_that_stands_in(root: Path) -> None:
    damage_shard(root)
    for batch in take(open_stream(root, damage=SubstituteDamaged(seed=1))):
        assert batch.labels is not None
        assert batch.labels.tolist() == [int(key[-4:]) % 10 for key in batch.keys]
        assert batch.keys == tuple(Dataset.open(root).keys(batch.visits.ids))


def test_a_dataset_without_a_sound_sample_is_an_error_after_a_few_tries(root: Path) -> None:
    for tar in root.glob("*.tar"):
        tar.unlink()
    with pytest.raises(CorruptShardError):
        take(open_stream(root, damage=SubstituteDamaged(seed=1)))


def test_the_ledger_lists_every_damaged_sample_once(root: Path, tmp_path: Path) -> None:
    damage_payload(root)
    path = tmp_path / "damage.jsonl"
    for _ in range(2):  # the second stream resumes from nothing, and meets the same again
        stream = open_stream(root, damage=SubstituteDamaged(seed=1), ledger=DamageLedger(path, budget=1))
        assert len(damage_of(take(stream, 22))) == 2  # once in each of two epochs
    (line,) = (json.loads(line) for line in path.read_text().splitlines())
    assert (line["key"], line["kind"], line["field"], line["epoch"]) == ("sample-0040", "payload", "image", 0)
    assert "sample-0040" in line["message"]


def test_a_rank_counts_what_others_have_written_down(root: Path, tmp_path: Path) -> None:
    damage_payload(root)
    damage_header(root)
    first, second = tmp_path / "damage-0.jsonl", tmp_path / "damage-1.jsonl"
    take(open_stream(root, damage=SubstituteDamaged(seed=1), ledger=DamageLedger(first, budget=2)))
    ledger = DamageLedger(second, budget=2, others=[first])
    assert len(ledger) == 2
    take(open_stream(root, damage=SubstituteDamaged(seed=1), ledger=ledger))
    assert not second.exists()


def test_a_ledger_that_is_full_loses_no_batch(root: Path) -> None:
    damage_payload(root)
    stream = open_stream(root, damage=SubstituteDamaged(seed=1), ledger=DamageLedger(None, budget=0))
    steps = []
    for _ in range(14):
        try:
            steps.append(next(stream).step)
        except TooMuchDamageError:
            break
    assert steps == list(range(stream.state.position.step))
    with pytest.raises(TooMuchDamageError):
        next(stream)


def test_more_damage_than_the_budget_stops_the_stream_and_says_where_it_is_listed(root: Path, tmp_path: Path) -> None:
    damage_shard(root)
    path = tmp_path / "damage.jsonl"
    stream = open_stream(root, damage=SubstituteDamaged(seed=1), ledger=DamageLedger(path, budget=10))
    with pytest.raises(
        TooMuchDamageError, match=r"more than the 10 that may be replaced.* All are listed in .*The last"
    ):
        take(stream)
    assert len(path.read_text().splitlines()) > 10


def test_a_ledger_that_was_torn_by_a_kill_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "damage.jsonl"
    one = DamagedSample(
        step=3, dataset="", sample=7, epoch=0, replaced_by=9, kind="payload", shard="", key="k", field="", message="m"
    )
    DamageLedger(path, budget=9).record([one])
    with path.open("a") as file:
        file.write('{"step": 4, "sam')
    ledger = DamageLedger(path, budget=9)
    assert len(ledger) == 1
    first = json.loads(path.read_text().splitlines()[0])
    again, other = DamagedSample(**{**first, "step": 5}), DamagedSample(**{**first, "step": 6, "sample": 8})
    ledger.record([one, again, other])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [3, 6]


def store_tokens(root: Path) -> None:
    """Seal a stored target whose rows hold the number of the sample."""
    dataset = Dataset.open(root)
    spec = TargetSpec(
        teacher="tokens",
        teacher_settings={},
        weights_sha256=None,
        preprocessing="",
        views=ViewSet(policy=POLICY, count=1, seed=0).to_json(),
        shape=(4,),
        coding=Coding(dtype="uint16"),
        software={},
    )
    for shard in range(dataset.manifest.num_shards):
        blocks = []
        for block in range(-(-dataset.shard_samples(shard) // 64)):
            keys = dataset.reader(shard).facts(block, "key")
            numbers = np.array([int(key[-4:]) for key in keys], np.uint16)
            blocks.append((keys, [np.repeat(numbers[:, None], 4, axis=1)]))
        write_target_shard(dataset, spec, shard, blocks)
    seal_target(dataset, spec, {})


def token_stream(root: Path, **changed: Any) -> Stream:
    component = Component(dataset=Dataset.open(root), stored={"tokens": Dataset.open(root).target("tokens")})
    return Stream(
        [component],
        modalities=[Tokens(stored="tokens", grid=(2, 2), vocabulary=300)],
        views=ViewSet(policy=POLICY, count=1, seed=0),
        masking={},
        global_batch=BATCH,
        seed=1,
        **changed,
    )


def test_a_stream_of_tokens_reads_no_tar(root: Path) -> None:
    store_tokens(root)
    for tar in root.glob("*.tar"):
        tar.unlink()
    for batch in take(token_stream(root)):
        assert batch.inputs["tokens"].tolist() == [[int(key[-4:])] * 4 for key in batch.keys]


def test_a_swapped_target_file_is_found_and_its_samples_are_replaced(root: Path) -> None:
    store_tokens(root)
    folder = next((root / "targets").glob("tokens-*"))
    first, second = sorted(folder.glob("00000[01]-*.arrow"))
    second.write_bytes(first.read_bytes()[: second.stat().st_size].ljust(second.stat().st_size, b"\0"))
    with pytest.raises(CorruptShardError, match=second.name):
        take(token_stream(root))
    batches = take(token_stream(root, damage=SubstituteDamaged(seed=1)))
    for batch in batches:
        assert batch.inputs["tokens"].tolist() == [[int(key[-4:])] * 4 for key in batch.keys]
    assert damage_of(batches)
