"""Five weighted datasets, a weight that changes, packs: the same global batches however they are read and resumed."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch

from pipelines.batch import Batch
from pipelines.loading import Here, Loading, Threads, Workers
from pipelines.masking.random import RandomPatches
from pipelines.mixing import Weight
from pipelines.modalities import Image, Text
from pipelines.order import Shuffle
from pipelines.packing import FactLength, Packing
from pipelines.stream import Component, Share, Stream, StreamMismatchError, StreamState
from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.views import FreshViews, RandomResizedCrop
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import SettingsError

SIZES = {"large": 300, "medium": 90, "small": 40, "tiny": 7, "texts": 60}
WEIGHTS = {"large": 6.0, "medium": 2.0, "small": 1.0, "tiny": 0.5, "texts": 1.5}
CHANGE = 6
BATCH = 24
STEPS = 9
CROP = RandomResizedCrop(size=16, scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)
IMAGE, TEXT = Image(size=16, patch=4), Text(length=32, tokenizer=ByteTokenizer())


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory, make_shard: Callable[[Path, dict[str, bytes]], None]) -> Path:
    """Five datasets: captioned pictures, and one of captions alone."""
    root = tmp_path_factory.mktemp("mixture")
    for place, (name, size) in enumerate(SIZES.items()):
        members: dict[str, bytes] = {}
        for number in range(size):
            shade = np.full((20, 24, 3), (37 * place + number) % 256, np.uint8)
            if name != "texts":
                members[f"{name}-{number:03d}.jpg"] = simplejpeg.encode_jpeg(shade)
            members[f"{name}-{number:03d}.txt"] = b"a word " * (1 + number % 4)
        (root / name).mkdir()
        make_shard(root / name / "000000.tar", members)
        adopt(root / name)
    return root


def open_stream(roots: Path, **changed: Any) -> Stream:
    weights = {name: Weight.constant(weight) for name, weight in WEIGHTS.items()}
    weights["medium"] = Weight(knots=((CHANGE - 1, 2.0), (CHANGE, 9.0)))
    components = [
        Component(dataset=Dataset.open(roots / name), name=name, weight=weight) for name, weight in weights.items()
    ]
    settings: dict[str, Any] = {
        "modalities": [IMAGE, TEXT],
        "views": FreshViews(policy=CROP),
        "masking": {"image": RandomPatches(ratio=0.75)},
        "global_batch": BATCH,
        "seed": 4,
    }
    return Stream(components, **settings | changed)


PACKING = Packing(
    capacity=128,
    lengths={
        "image": FactLength(column="image.width", per_token=24, times=16, at_most=16),
        "text": FactLength(column="text.longest", extra=2, at_most=32),
    },
    window=100,
)
Contents = Counter[tuple[Any, ...]]


def take(stream: Stream, count: int) -> list[Batch]:
    with closing(stream):
        return list(islice(stream, count))


def contents(batches: list[Batch]) -> Contents:
    """Everything about the samples of batches, whatever their order: key, epoch, pixels, mask, caption."""
    rows = (
        (key, int(epoch), image.numpy().tobytes(), tuple(visible.tolist()), tuple(text.tolist()))
        for batch in batches
        for key, epoch, image, visible, text in zip(
            batch.keys,
            batch.visits.epochs,
            batch.inputs["image"],
            batch.plans["image"].visible,
            batch.inputs["text"],
            strict=True,
        )
    )
    return Counter(rows)


@pytest.fixture(scope="module", params=[{}, {"packing": PACKING}], ids=["samples", "packs"])
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What makes a stream one of single samples, or of packs."""
    return dict(request.param)


@pytest.fixture(scope="module")
def whole(roots: Path, kind: dict[str, Any]) -> list[Contents]:
    """What is in the global batches of a stream that one process reads."""
    return [contents([batch]) for batch in take(open_stream(roots, **kind), STEPS)]


@pytest.mark.parametrize("world_size", [2, 3, 4, 6, 8])
def test_any_number_of_ranks_reads_the_same_global_batches(
    roots: Path, whole: list[Contents], kind: dict[str, Any], world_size: int
) -> None:
    ranks = [
        take(open_stream(roots, share=Share(rank=rank, world_size=world_size), **kind), STEPS)
        for rank in range(world_size)
    ]
    assert [contents([batches[step] for batches in ranks]) for step in range(STEPS)] == whole


@pytest.mark.parametrize(
    "loading", [Workers(count=1), Threads(count=3), pytest.param(Workers(count=4), marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores are meant
def test_resuming_three_times_with_other_ranks_and_workers_changes_nothing(
    roots: Path, whole: list[Contents], kind: dict[str, Any], loading: Loading
) -> None:
    state, found = open_stream(roots, **kind).state, []
    ways: list[tuple[int, int, Loading]] = [(1, 4, Here()), (2, 2, loading), (4, 2, Here()), (1, 1, loading)]
    for world_size, steps, way in ways:
        streams = [
            open_stream(roots, share=Share(rank=rank, world_size=world_size), loading=way, **kind)
            for rank in range(world_size)
        ]
        for stream in streams:
            stream.resume(StreamState.from_json(json.loads(json.dumps(state.to_json()))))
        parts = [take(stream, steps) for stream in streams]
        found += [contents([batches[step] for batches in parts]) for step in range(steps)]
        assert len({json.dumps(stream.state.to_json()) for stream in streams}) == 1  # the same on every rank
        state = streams[0].state
    assert found == whole


def test_the_state_is_a_few_hundred_bytes(roots: Path, kind: dict[str, Any]) -> None:
    stream = open_stream(roots, **kind)
    take(stream, STEPS)
    assert len(json.dumps(stream.state.to_json())) < 900


def test_weights_are_kept_and_change_at_their_step_without_repeats_or_losses(roots: Path) -> None:
    visits = list(islice(open_stream(roots).visits(), 60))
    taken = np.array([np.bincount(batch.datasets, minlength=5) for batch in visits])
    before, after = taken[:CHANGE].sum(axis=0), taken[CHANGE:].sum(axis=0)
    assert np.abs(before - CHANGE * BATCH * np.array([6, 2, 1, 0.5, 1.5]) / 11).max() <= 1
    assert np.abs(after - 54 * BATCH * np.array([6, 9, 1, 0.5, 1.5]) / 18).max() <= 2
    for place, size in enumerate(SIZES.values()):
        seen = Counter(
            (int(epoch), int(sample))
            for batch in visits
            for dataset, sample, epoch in zip(batch.datasets, batch.ids, batch.epochs, strict=True)
            if dataset == place
        )
        assert set(seen.values()) == {1}
        full = (int(taken[:, place].sum())) // size
        assert all((epoch, sample) in seen for epoch in range(full) for sample in range(size))


def test_a_sample_without_a_picture_is_masked_out_not_dropped(roots: Path) -> None:
    for batch in take(open_stream(roots), 6):
        lengths = dict(zip(batch.keys, batch.lengths["image"].tolist(), strict=True))
        assert {length for key, length in lengths.items() if key.startswith("texts")} <= {0}
        assert {length for key, length in lengths.items() if not key.startswith("texts")} == {16}
        absent = torch.tensor([key.startswith("texts") for key in batch.keys])
        assert not batch.inputs["image"][absent].any()
        assert (batch.lengths["text"] > 0).all()


def test_packs_hold_no_more_tokens_than_they_may_and_nearly_as_many(roots: Path) -> None:
    fill = []
    for batch in take(open_stream(roots, packing=PACKING), STEPS):
        assert batch.visits.packs is not None
        tokens = (batch.lengths["image"] + batch.lengths["text"]).numpy()
        loads = np.bincount(batch.visits.packs, weights=tokens, minlength=BATCH)
        assert loads.max() <= 128
        fill.append(loads.sum() / (128 * BATCH))
    assert np.mean(fill) > 0.9


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("weights", {}),
        ("packing", {"packing": PACKING}),
        ("shuffle", {"shuffle": Shuffle(lanes=3, group_blocks=2)}),
    ],
)
def test_another_mixture_or_packing_is_refused(roots: Path, name: str, changed: dict[str, Any]) -> None:
    saved = open_stream(roots).state
    stream = open_stream(roots, **changed)
    if not changed:
        components = [Component(dataset=Dataset.open(roots / name), name=name) for name in WEIGHTS]
        stream = Stream(
            components, modalities=[TEXT], views=FreshViews(policy=None), masking={}, global_batch=BATCH, seed=4
        )
    with pytest.raises(StreamMismatchError, match=f"with {name} .* this stream has {name}"):
        stream.resume(saved)


def test_datasets_of_a_mixture_need_names_of_their_own(roots: Path) -> None:
    dataset = Dataset.open(roots / "large")
    for names in (("a", "a"), ("", "b")):
        components = [Component(dataset=dataset, name=name) for name in names]
        with pytest.raises(SettingsError, match="name of its own"):
            Stream(components, modalities=[TEXT], views=FreshViews(policy=None), masking={}, global_batch=4, seed=0)
    with pytest.raises(SettingsError, match="at least one dataset"):
        Stream([], modalities=[TEXT], views=FreshViews(policy=None), masking={}, global_batch=4, seed=0)


READ_ON = """
import json, sys
from pathlib import Path
from tests.pipelines.test_mixed_stream import PACKING, contents, open_stream
from pipelines.loading import Workers
from pipelines.stream import StreamState

roots, state = Path(sys.argv[1]), Path(sys.argv[2])
stream = open_stream(roots, packing=PACKING, loading=Workers(count=1))
if state.exists():
    stream.resume(StreamState.from_json(json.loads(state.read_text())))
for batch in stream:
    print(json.dumps([batch.step, sorted(batch.keys)]), flush=True)
    waiting = state.with_suffix(".new")
    waiting.write_text(json.dumps(stream.state.to_json()))
    waiting.replace(state)
"""


def read_until_killed(roots: Path, state: Path, batches: int) -> Iterator[tuple[int, list[str]]]:
    """Read in a process of its own, kill it after some batches, and yield those it said it had."""
    command = [sys.executable, "-c", READ_ON, str(roots), str(state)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(batches):
        step, keys = json.loads(process.stdout.readline())
        yield step, keys
    os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


@pytest.mark.slow
def test_a_stream_that_is_killed_three_times_takes_the_same_batches(roots: Path, tmp_path: Path) -> None:
    expected = [sorted(batch.keys) for batch in take(open_stream(roots, packing=PACKING), 24)]
    seen: dict[int, list[str]] = {}
    for batches in (3, 5, 4):
        for step, keys in read_until_killed(roots, tmp_path / "state.json", batches):
            # The last batch before a kill may not have been noted; then it comes again, and is the same.
            assert seen.setdefault(step, keys) == keys
    assert sorted(seen) == list(range(len(seen)))
    assert len(seen) >= 9
    assert [seen[step] for step in sorted(seen)] == expected[: len(seen)]
