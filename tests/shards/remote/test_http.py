"""A dataset behind a web server: the same samples, few requests, and clear words when the server misbehaves."""

import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError, MissingDatasetError, MissingTargetError
from shards.remote.access import Access, Patience
from shards.target_writer import seal_target
from tests.shards.remote.range_server import RangeServer
from tests.shards.test_target_table import spec_of, store

ALL = np.arange(150)
FIELDS = ("image", "text")


def opened(server: RangeServer, access: Access, split: str = "") -> Dataset:
    return Dataset.open(f"{server.url}/dataset{split}", access=access)


def impatient(access: Access) -> Access:
    """Gives up soon, and does not ask again for what it has just given up."""
    return replace(access, patience=Patience(request_s=1, give_up_s=0.3, first_wait_s=0.01, longest_wait_s=60))


def shuffled_batches(seed: int = 0) -> list[np.ndarray]:
    return np.array_split(np.random.default_rng(seed).permutation(150), 15)


def test_the_samples_are_those_of_the_folder_byte_for_byte(
    server: RangeServer, access: Access, dataset_root: Path
) -> None:
    remote, local = opened(server, access), Dataset.open(dataset_root)
    assert (remote.dataset_id, remote.num_samples) == (local.dataset_id, 150)
    for ids in shuffled_batches():
        assert remote.read(ids, FIELDS) == local.read(ids, FIELDS)
    assert remote.keys(ALL) == local.keys(ALL)
    assert np.array_equal(remote.column(ALL, "label"), local.column(ALL, "label"))
    copy = pickle.loads(pickle.dumps(remote))
    assert copy.read(ALL[:3], FIELDS) == local.read(ALL[:3], FIELDS)


def test_every_block_is_asked_for_once_and_never_again(server: RangeServer, access: Access) -> None:
    """150 samples in shards of 70, 70 and 10 are 2 + 2 + 1 blocks."""
    for _ in range(3):
        dataset = opened(server, access)
        for ids in shuffled_batches():
            dataset.read(ids, FIELDS)
    assert sorted(server.ranges(".tar").values()) == [1] * 5
    assert sorted(server.ranges(".arrow").values()) == [1] * 4


def read_all(url: str, access: Access, begin: Any) -> None:
    begin.wait()
    dataset = Dataset.open(url, access=access)
    for ids in shuffled_batches():
        dataset.read(ids, FIELDS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_begin_together_fetch_each_block_once(server: RangeServer, access: Access, method: str) -> None:
    """Forked ones as well, from a process that has talked to the server before."""
    dataset = opened(server, access)
    dataset.read(ALL[:1], FIELDS)
    context = multiprocessing.get_context(method)
    begin = context.Barrier(3)
    server.misbehave("slow")
    arguments = f"{server.url}/dataset", access, begin
    workers = [context.Process(target=read_all, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert set(server.ranges(".tar").values()) == {1} and len(server.ranges(".tar")) == 4


def test_a_forked_worker_reads_with_the_dataset_it_was_given(server: RangeServer, access: Access) -> None:
    dataset = opened(server, access)
    expected = dataset.read(ALL[:70], FIELDS)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(dataset.read, (ALL, FIELDS)).get(60)[:70] == expected


def test_a_storm_is_weathered(server: RangeServer, access: Access, dataset_root: Path) -> None:
    server.misbehave("busy", count=2)
    samples = opened(server, access).read(ALL, FIELDS)
    assert samples == Dataset.open(dataset_root).read(ALL, FIELDS)
    assert set(server.asked.values()) == {3}


@pytest.mark.parametrize(
    ("mode", "kind", "says"),
    [
        ("down", "unreachable", r"the server said 503 Slow Down\. Tries: \d+, in \d\.\d s\. Check the address"),
        ("reset", "unreachable", r"the connection failed: .* Tries: \d+,"),
        ("cuts", "unreachable", r"the connection failed: .*ContentLength.* Tries: \d+,"),
        ("ignores", "unreachable", r"ignores byte ranges and would send the whole file.*200 OK"),
        ("truncates", "truncated", r"\d+ of \d+ bytes came\. Tries: \d+,.*copy the file again"),
        ("missing", "missing", r"there is no such file \(the server said 404 Not Found\)"),
    ],
)
def test_what_cannot_be_had_is_named_with_its_range(
    server: RangeServer, access: Access, mode: str, kind: str, says: str
) -> None:
    dataset = opened(server, impatient(access))
    dataset.keys(ALL)
    server.misbehave(mode, of=r"/000001-.*\.tar")
    found = dataset.read_each(ALL, FIELDS)
    shards, _ = dataset.locate(ALL)
    assert [isinstance(item, CorruptShardError) for item in found] == (shards == 1).tolist()
    errors = [item for item in found if isinstance(item, CorruptShardError)]
    assert {error.kind for error in errors} == {kind}
    assert {str(error.shard).endswith(".tar") for error in errors} == {True}
    with pytest.raises(CorruptShardError, match=rf"http://127.*\.tar, bytes \d+\.\.\d+: .*{says}"):
        raise errors[0]


def test_a_server_that_never_answers_is_given_up(server: RangeServer, access: Access) -> None:
    dataset = opened(server, impatient(access))
    dataset.keys(ALL)
    server.misbehave("stalls", of=r"\.tar")
    with pytest.raises(CorruptShardError, match=r"no answer within 1 s\. Tries: \d,"):
        dataset.read(ALL[:1], FIELDS)


def test_an_object_that_is_missing_is_not_asked_for_twice(server: RangeServer, access: Access) -> None:
    dataset = opened(server, impatient(access))
    server.misbehave("missing", of=r"\.tar")
    assert all(isinstance(item, CorruptShardError) for item in dataset.read_each(ALL, FIELDS))
    assert set(server.ranges(".tar").values()) == {1}


def test_bits_that_flip_on_the_way_are_fetched_again(server: RangeServer, access: Access, dataset_root: Path) -> None:
    dataset = opened(server, access)
    server.misbehave("flips", count=1)
    assert dataset.read(ALL, FIELDS) == Dataset.open(dataset_root).read(ALL, FIELDS)
    assert max(server.ranges(".tar").values()) == 2


def test_damage_on_the_server_is_named_like_damage_on_a_disk(
    server: RangeServer, access: Access, dataset_root: Path
) -> None:
    local = Dataset.open(dataset_root)
    tar, _ = local.shard_paths(0)
    content = bytearray(tar.read_bytes())
    content[local.reader(0).facts(0, "image.offset")[7] + 30] ^= 1
    tar.write_bytes(content)
    found = opened(server, access).read_each(ALL[:64], FIELDS)
    damaged = [(place, item) for place, item in enumerate(found) if isinstance(item, CorruptShardError)]
    assert [(place, error.kind, error.field) for place, error in damaged] == [(7, "payload", "image")]
    assert set(server.ranges(".tar").values()) == {2}


def test_an_index_that_is_not_the_one_of_its_name_is_refused(
    server: RangeServer, access: Access, dataset_root: Path
) -> None:
    _, index = Dataset.open(dataset_root).shard_paths(0)
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    with pytest.raises(
        CorruptShardError, match=r"are not those that its name stands for.*copy the file again"
    ) as caught:
        opened(server, access).read(ALL[:1], FIELDS)
    assert caught.value.kind == "payload"


def with_targets(root: Path) -> None:
    dataset, spec = Dataset.open(root), spec_of("uint16")
    for shard in range(3):
        store(dataset, spec, shard)
    seal_target(dataset, spec, {})


def test_stored_targets_are_read_by_their_whole_id(server: RangeServer, access: Access, dataset_root: Path) -> None:
    with_targets(dataset_root)
    remote, target_id = opened(server, access), spec_of("uint16").target_id
    table, local = remote.target(target_id), Dataset.open(dataset_root).target(target_id)
    for ids in shuffled_batches():
        assert np.array_equal(table.read(ids, ids % 2), local.read(ids, ids % 2))
    assert {count for (path, _), count in server.asked.items() if "targets" in path and ".arrow" in path} == {1}
    with pytest.raises(DatasetError, match=r"does not list folders.*whole id"):
        remote.target("tokens")


def test_tars_of_others_may_have_any_name(server: RangeServer, access: Access, dataset_root: Path) -> None:
    folder = dataset_root.parent / "adopted"
    folder.mkdir()
    tar, _ = Dataset.open(dataset_root).shard_paths(0)
    shutil.copy(tar, folder / "a b#1?%20ü.tar")
    adopt(folder)
    remote = Dataset.open(f"{server.url}/adopted", access=access)
    assert remote.read(ALL[:70], FIELDS) == Dataset.open(folder).read(ALL[:70], FIELDS)


def test_what_is_not_there_is_said(server: RangeServer, access: Access) -> None:
    with pytest.raises(MissingDatasetError, match=r"holds no dataset: there is no dataset\.json"):
        Dataset.open(f"{server.url}/nothing", access=access)
    with pytest.raises(DatasetError, match="has no split 'val'"):
        opened(server, access, ":val")
    assert not issubclass(MissingTargetError, DatasetError)


@pytest.mark.parametrize("doing", [lambda root: root / "inspect", lambda root: root / "targets"])
def test_writing_to_a_remote_dataset_is_refused(
    server: RangeServer, access: Access, doing: Callable[[Any], Any]
) -> None:
    with pytest.raises(DatasetError, match="can only be read"):
        doing(opened(server, access).root)
