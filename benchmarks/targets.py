"""How much CPU it takes to read stored targets: features beside memcpy, tokens, and a stream of nothing but tokens.

    python -m benchmarks.targets

Rows are read in random order, in batches, from a sealed dataset of several shards; everything is in the page cache. The
limit of features is copying as many rows from one array in memory to another. The stream of tokens is also measured in
parts: visits alone, then the keys, then the stored rows, and at last whole batches, without and with masks.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.measure import (
    Arm,
    Costs,
    RatioTarget,
    TimeTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from benchmarks.synthetic import Rows, write_captions, write_target
from pipelines.masking.plan import Masking
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Tokens
from pipelines.stream import Component, Stream
from pipelines.views import CenterCrop, ViewSet
from shards.dataset import Dataset
from shards.target_table import TargetTable

FEATURES, GRID, VOCABULARY = (196, 768), (14, 14), 8192
FEATURE_BATCH, TOKEN_BATCH, STREAM_BATCH = 32, 1024, 256
SHARDS = 8
VIEWS = ViewSet(policy=CenterCrop(size=224), count=1, seed=0)
TOKENS_PER_CPU_SECOND = 500_000

TARGETS = (
    RatioTarget(
        claim="features: TargetTable.read / memcpy", arm="features, read", peer="features, memcpy", at_least=0.85
    ),
    TimeTarget(
        claim=f"1000 rows of tokens, {TOKENS_PER_CPU_SECOND:,} rows / CPU-s",
        arm="tokens, read, 1000 rows",
        at_most=1000 / TOKENS_PER_CPU_SECOND,
    ),
)
PACKAGES = ("maskloom", "torch", "numpy", "pyarrow")

Reads = Callable[[Rows], object]
"""From ids to whatever is read of them."""


def reading(turn: int, *, read: Reads, samples: int, batch: int, batches: int) -> float:
    """Read batches of random ids and return the CPU-seconds of a row."""
    draw = np.random.default_rng(turn)
    wanted = [draw.integers(samples, size=batch) for _ in range(batches)]

    def work() -> int:
        kept: object = None
        for ids in wanted:
            # A batch lives until the next one is there, as in training: fresh memory has its price.
            kept = read(ids)
        return batches * batch if kept is not None else 0

    return cpu_per_item(work)


def feature_arms(root: Path, samples: int) -> list[Arm]:
    """Write features and return the arms that read them, and that copy as many from memory."""
    draw = np.random.default_rng(0)
    table = _stored(root, samples, "features", FEATURES, "float16", lambda rows: _features(draw, rows))
    memory = np.concatenate([_read(table)(ids) for ids in np.array_split(np.arange(samples), SHARDS)])
    measure = functools.partial(
        reading, samples=samples, batch=FEATURE_BATCH, batches=max(1, 2 * samples // FEATURE_BATCH)
    )
    return [
        Arm(name="features, memcpy", cost=functools.partial(measure, read=_copying(memory))),
        Arm(name="features, read", cost=functools.partial(measure, read=_read(table))),
    ]


def token_arms(root: Path, samples: int) -> list[Arm]:
    """Write tokens and return the arms that read them, up to a whole stream."""
    draw = np.random.default_rng(0)
    table = _stored(root, samples, "tokens", GRID, "uint16", lambda rows: _tokens(draw, rows))
    dataset = Dataset.open(root)
    memory = np.concatenate([_read(table)(ids) for ids in np.array_split(np.arange(samples), SHARDS)])
    measure = functools.partial(reading, samples=samples, batch=TOKEN_BATCH, batches=max(1, 4 * samples // TOKEN_BATCH))
    return [
        Arm(name="tokens, memcpy", cost=functools.partial(measure, read=_copying(memory))),
        Arm(name="tokens, read", cost=functools.partial(measure, read=_read(table))),
        *(Arm(name=f"stream, {part}", cost=cost) for part, cost in _stream_costs(dataset, samples)),
    ]


def _stream_costs(dataset: Dataset, samples: int) -> Iterator[tuple[str, Callable[[int], float]]]:
    """Yield the parts of a stream of tokens, each with what it costs."""
    steps = max(1, samples // STREAM_BATCH)
    plain, masked = token_stream(dataset, {}), token_stream(dataset, {"tokens": RandomPatches(ratio=0.75)})
    table = dataset.target("tokens")
    yield "visits", lambda _: cpu_per_item(lambda: sum(len(visits) for visits in islice(plain.visits(), steps)))
    yield (
        "keys",
        lambda _: cpu_per_item(lambda: sum(len(dataset.keys(each.ids)) for each in islice(plain.visits(), steps))),
    )
    yield (
        "rows",
        lambda _: cpu_per_item(lambda: sum(len(_read(table)(each.ids)) for each in islice(plain.visits(), steps))),
    )
    yield "whole", lambda _: cpu_per_item(lambda: sum(len(batch.keys) for batch in islice(plain, steps)))
    yield "whole, masked", lambda _: cpu_per_item(lambda: sum(len(batch.keys) for batch in islice(masked, steps)))


def token_stream(dataset: Dataset, masking: dict[str, Masking]) -> Stream:
    """Open a stream that reads nothing but stored tokens."""
    return Stream(
        [Component(dataset=dataset, stored={"tokens": dataset.target("tokens")})],
        modalities=[Tokens(stored="tokens", grid=GRID, vocabulary=VOCABULARY)],
        views=VIEWS,
        masking=masking,
        global_batch=STREAM_BATCH,
        seed=0,
    )


def _stored(
    root: Path, samples: int, name: str, shape: tuple[int, ...], dtype: str, make: Callable[[int], Rows]
) -> TargetTable:
    dataset = write_captions(root, shards=SHARDS, shard_size=samples // SHARDS)
    return write_target(dataset, name, shape=shape, dtype=dtype, views=VIEWS, make=make)


def _features(draw: np.random.Generator, rows: int) -> Rows:
    """Return noise, with a scale for every channel, as features have."""
    scales = np.exp(np.random.default_rng(1).normal(size=FEATURES[-1])).astype(np.float32)
    return (draw.standard_normal((rows, *FEATURES), dtype=np.float32) * scales).astype(np.float16)


def _tokens(draw: np.random.Generator, rows: int) -> Rows:
    return draw.integers(VOCABULARY, size=(rows, *GRID), dtype=np.uint16)


def _read(table: TargetTable) -> Callable[[Rows], Rows]:
    return lambda ids: table.read(ids, np.zeros_like(ids))


def _copying(memory: Rows) -> Reads:
    """Return what copies rows one by one from memory into a batch: no reader can do less."""

    def copy(ids: Rows) -> Rows:
        batch = np.empty((len(ids), *memory.shape[1:]), memory.dtype)
        for place, row in enumerate(ids.tolist()):
            batch[place] = memory[row]
        return batch

    return copy


def report(costs: Costs, settings: dict[str, str], console: Console) -> None:
    """Print all tables and the targets, and write the measurements."""
    for kind, reference in (
        ("features", "features, memcpy"),
        ("tokens", "tokens, memcpy"),
        ("stream", "stream, whole"),
    ):
        chosen = {name: values for name, values in costs.items() if name.startswith(kind)}
        print_costs(f"Stored targets: {kind}", chosen, reference=reference, console=console)
    costs |= {"tokens, read, 1000 rows": [1000 * value for value in costs["tokens, read"]]}
    print_targets(TARGETS, costs, console)
    write_results(Path(settings["json"]), costs, targets=TARGETS, settings=settings, packages=PACKAGES)


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Benchmark the reading of stored targets.")
    command.add_argument("--features", type=int, default=512, help="samples that have features, 301 kB each")
    command.add_argument("--tokens", type=int, default=20_480, help="samples that have tokens, 392 bytes each")
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/stream-targets.json"))
    arguments, console = command.parse_args(), make_console()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        arms = feature_arms(Path(temporary) / "features", arguments.features)
        arms += token_arms(Path(temporary) / "tokens", arguments.tokens)
        costs = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    report(costs, {name: str(value) for name, value in vars(arguments).items()}, console)


if __name__ == "__main__":
    main()
