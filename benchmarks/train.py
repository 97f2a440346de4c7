"""How long a training step takes and how much memory it needs: maskloom beside the arithmetic of the published codes.

    python -m benchmarks.train                                  # mae, video_mae and cav_mae on one core
    python -m benchmarks.train mae --device cuda --size base --loading

One arm is `Learner.step` on a batch that is ready; two are steps of the published code on the same samples, with attention
written out, as it has it, and fused, as a current timm has it (`benchmarks.reference_steps`). Beside them run the matrix
products of our step by themselves, and one large product: what the machine could do. With `--loading`, batches also come
from shards. Time is CPU-seconds on one core, and wall time on a GPU, or with several threads or with workers.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.contestants import ATTENTION, OURS, Ours, Setup, peak_memory_mib, published
from benchmarks.figures import Row, print_rows, write_rows
from benchmarks.measure import Arm, Costs, RatioTarget, Spread, alternate, cpu_seconds, make_console, print_targets
from benchmarks.products import Product, flop_of, flop_of_products, products_of, seconds_alone

PUBLISHED, FUSED = ATTENTION
LOADED, PRODUCTS, LARGE = "maskloom, shards", "products of the step alone", "one large product"
PACKAGES = ("maskloom", "torch", "numpy")

BATCHES = {"cpu": {"mae": 8, "video_mae": 1, "cav_mae": 2}, "cuda": {"mae": 256, "video_mae": 32, "cav_mae": 32}}
STEPS = {"cpu": 1, "cuda": 20}
LARGE_SIDE = {"cpu": 1024, "cuda": 8192}
REPEATS = {"cpu": 4, "cuda": 20}
"""How often the large product is computed."""

Clock = Callable[[Callable[[], object]], float]
"""Returns the seconds that some work takes."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one recipe: seconds of a step by arm, floating point operations, and MiB of memory."""

    setup: Setup
    costs: Costs
    flop: Mapping[str, int]
    memory: Mapping[str, float]

    def seconds(self, arm: str) -> list[float]:
        """Return the seconds of an arm, one per round."""
        return self.costs[called(self.setup, arm)]

    def share(self, arm: str, limit: str) -> float:
        """Return how fast an arm computes in proportion to products by themselves: the median over the rounds."""
        ratio = RatioTarget(claim="", arm=called(self.setup, arm), peer=called(self.setup, limit), at_least=0)
        spread = ratio.measured(self.costs)
        assert spread is not None
        return spread.median * self.flop[arm] / self.flop[limit]

    def row(self, arm: str) -> Row:
        """Return the line of an arm in the table."""
        seconds = self.seconds(arm)
        ratio = [theirs / ours for ours, theirs in zip(seconds, self.seconds(PUBLISHED), strict=True)]
        return {
            "recipe": self.setup.recipe,
            "arm": arm,
            "ms a step": Spread.of([1e3 * value for value in seconds]).show(".0f"),
            "x published": Spread.of(ratio).show(".2f"),
            "samples/s": round(self.setup.batch / Spread.of(seconds).median, 2),
            "GFLOP": round(self.flop[arm] / 1e9, 1),
            "of products": round(self.share(arm, PRODUCTS), 2),
            "of a large": round(self.share(arm, LARGE), 2),
            "MiB": round(self.memory[arm]) if arm in self.memory else "",
        }


def called(setup: Setup, arm: str) -> str:
    """Return the name of an arm among those of all recipes."""
    return f"{setup.recipe}: {arm}"


def clock_of(options: argparse.Namespace) -> Clock:
    """Return what times work: in CPU-seconds where one core does all of it, and otherwise by the wall."""
    on_gpu = options.device == "cuda"
    waits = on_gpu or options.threads > 1 or options.workers > 0

    def now() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() if waits else cpu_seconds()

    def seconds_of(work: Callable[[], object]) -> float:
        began = now()
        work()
        return now() - began

    return seconds_of


def repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    """Return what does the same work several times."""

    def repeat() -> None:
        for _ in range(times):
            work()

    return repeat


@contextmanager
def loaded_steps(setup: Setup, ours: Ours, options: argparse.Namespace, clock: Clock) -> Iterator[Callable[[], float]]:
    """Provide what times a step on batches from shards; what workers have read ahead is dropped first."""
    from benchmarks.training_data import open_stream, write_training_data  # imports the ingest

    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as folder:
        root = options.data or write_training_data(Path(folder), setup, samples=options.samples)
        stream, batches = open_stream(root, setup, workers=options.workers)

        def seconds() -> float:
            for _ in range(2 * options.workers):
                next(stream)
            return clock(repeated(lambda: ours.step(next(batches)), options.steps)) / options.steps

        with closing(stream):
            yield seconds


def measure(setup: Setup, options: argparse.Namespace, console: Console) -> Measured:
    """Measure one recipe."""
    memory = {arm: peak_memory_mib(setup, arm) for arm in (OURS, *ATTENTION)}
    torch.set_num_threads(setup.threads)
    batch, ours = setup.ready_batch(), Ours(setup)
    works: dict[str, Callable[[], object]] = {OURS: lambda: ours.step(batch)}
    works |= {arm: published(setup, batch, arm).step for arm in ATTENTION}
    products, large = products_of(works[OURS]), large_product(setup)
    flop = {arm: flop_of(work) for arm, work in works.items()}
    flop |= {LOADED: flop[OURS], PRODUCTS: flop_of_products(products), LARGE: large.flop}
    clock, repeats = clock_of(options), REPEATS[setup.device]
    timed: dict[str, Callable[[], float]] = {
        arm: lambda work=work: clock(repeated(work, options.steps)) / options.steps  # type: ignore[misc]
        for arm, work in works.items()
    }
    timed[PRODUCTS] = lambda: seconds_alone(products, setup.on, clock)
    timed[LARGE] = lambda: seconds_alone({large: repeats}, setup.on, clock) / repeats
    with ExitStack() as stack:
        if options.loading:
            timed[LOADED] = stack.enter_context(loaded_steps(setup, ours, options, clock))
        costs = taken(setup, timed, options, console)
    return Measured(setup=setup, costs=costs, flop=flop, memory=memory)


def large_product(setup: Setup) -> Product:
    """Return a product of square matrices that are large on the device, in the number format of the steps."""
    side = LARGE_SIDE[setup.device]
    return Product(count=1, rows=side, inner=side, columns=side, dtype=setup.dtype)


def taken(
    setup: Setup, timed: Mapping[str, Callable[[], float]], options: argparse.Namespace, console: Console
) -> Costs:
    """Measure all arms in turn."""

    def cost(seconds: Callable[[], float]) -> float:
        gc.collect()
        return seconds()

    arms = [
        Arm(name=called(setup, arm), cost=lambda _, seconds=seconds: cost(seconds))  # type: ignore[misc]
        for arm, seconds in timed.items()
    ]
    return alternate(arms, rounds=options.rounds, warm_up=1, console=console)


def targets_of(setup: Setup, *, loading: bool) -> list[RatioTarget]:
    """Return what is wanted of a recipe."""
    ours, theirs, loaded = (called(setup, arm) for arm in (OURS, PUBLISHED, LOADED))
    wanted = [RatioTarget(claim=f"{setup.recipe}: step / published", arm=ours, peer=theirs, at_least=1)]
    if loading:
        wanted.append(RatioTarget(claim=f"{setup.recipe}: from shards / ready", arm=loaded, peer=ours, at_least=0.95))
    return wanted


def setup_of(name: str, options: argparse.Namespace) -> Setup:
    """Return what both sides train by one recipe."""
    return Setup(
        recipe=name,
        size=options.size,
        settings=tuple(options.settings),
        batch=options.batch or BATCHES[options.device][name],
        device=options.device,
        precision="bf16" if options.device == "cuda" else "fp32",
        threads=options.threads,
    )


def parsed_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark training steps.")
    command.add_argument("recipes", nargs="*", help=f"of {', '.join(BATCHES['cpu'])}; all by default")
    command.add_argument("--size", default="small")
    command.add_argument("--set", dest="settings", action="append", default=[], help="change the recipes: PATH=VALUE")
    command.add_argument("--batch", type=int, help="samples of a step; by default what suits recipe and device")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="float32 on a CPU, bfloat16 on a GPU")
    command.add_argument("--threads", type=int, default=1, help="of the CPU")
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--steps", type=int, help="of one measurement; by default 1 on a CPU and 20 on a GPU")
    command.add_argument("--loading", action="store_true", help="also take batches from shards")
    command.add_argument("--data", type=Path, help="a dataset for that; one is made by default")
    command.add_argument("--samples", type=int, default=64, help="of a dataset that is made")
    command.add_argument("--workers", type=int, help="that load; by default none on a CPU, and one per core on a GPU")
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/train.json"))
    options = command.parse_args(words)
    unknown = set(options.recipes) - set(BATCHES["cpu"])
    if unknown:
        command.error(f"there is no published step beside {', '.join(sorted(unknown))}")
    options.recipes = options.recipes or list(BATCHES["cpu"])
    options.steps = options.steps or STEPS[options.device]
    if options.workers is None:
        options.workers = min(os.cpu_count() or 1, 16) if options.device == "cuda" else 0
    return options


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write everything."""
    options, console = parsed_arguments(words), make_console()
    multiprocessing.set_forkserver_preload(["benchmarks.contestants"])
    rows: list[Row] = []
    costs: Costs = {}
    targets: list[RatioTarget] = []
    for name in options.recipes:
        measured = measure(setup_of(name, options), options, console)
        arms = (OURS, *([LOADED] if options.loading else []), *ATTENTION)
        rows += [measured.row(arm) for arm in arms]
        costs |= measured.costs
        targets += targets_of(measured.setup, loading=options.loading)
    print_rows(f"Steps at size {options.size} on {options.device}", rows, console)
    print_targets(targets, costs, console)
    tables: dict[str, Sequence[Row]] = {
        "steps": rows,
        "seconds": [{"arm": arm, **asdict(Spread.of(values)), "rounds": values} for arm, values in costs.items()],
        "targets": [
            dict(zip(("claim", "wanted", "measured", "met"), target.row(spread), strict=True))
            for target in targets
            if (spread := target.measured(costs)) is not None
        ],
    }
    settings = {name: str(value) for name, value in vars(options).items()}
    write_rows(options.json, tables, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
