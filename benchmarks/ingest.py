"""How much CPU it takes to turn pictures into shards: maskloom beside ShardWriter, a process pool, and img2dataset.

    python -m benchmarks.ingest --images 3000 --img2dataset-python /path/to/its/venv/bin/python

One process: the transform alone, then whole shards (read, transform, hash, tar, index, receipt), resized or copied.
Whole commands with two workers: marginal CPU-seconds per picture, so that start-up cancels out.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import webdataset
from PIL import Image
from rich.console import Console

from benchmarks.local_server import serving
from benchmarks.measure import (
    Arm,
    Costs,
    RatioTarget,
    Spread,
    alternate,
    cpu_of_command,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from benchmarks.photographs import mean_kilobytes, write_photographs
from ingest.images import store_image
from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.settings import Check, IngestSettings
from ingest.shard_task import write_shard
from ingest.sources.folder import FolderSource
from shards.shard_writer import raw_sha256

IMAGE_SIZE, QUALITY, WORKERS = 256, 90, 2
PACKAGES = ("maskloom", "torch", "torchvision", "pillow", "simplejpeg", "numpy", "pyarrow", "distributed", "webdataset")

TARGETS = (
    RatioTarget(claim="resize: shard / transform alone", arm="maskloom shard", peer="transform alone", at_least=0.92),
    RatioTarget(claim="resize: shard / ShardWriter + Pillow", arm="maskloom shard", peer="ShardWriter", at_least=1.8),
    RatioTarget(
        claim="copy: check=header / ShardWriter", arm="copy, check=header", peer="copy, ShardWriter", at_least=3
    ),
    RatioTarget(claim="two workers: Dask / bare pool", arm="maskloom ingest", peer="bare pool", at_least=0.9),
    RatioTarget(claim="two workers: Dask / img2dataset", arm="maskloom ingest", peer="img2dataset", at_least=2.5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where everything stands: the raw pictures, and a folder for what is made of them."""

    pictures: Path
    paths: Sequence[Path]
    scratch: Path
    shard_size: int

    def fresh(self, name: str) -> Path:
        """Return a path in the scratch folder at which there is nothing."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def shard(self, turn: int) -> Sequence[Path]:
        """Return the pictures of one round: one shard full, another one every round."""
        shards = max(1, len(self.paths) // self.shard_size)
        start = turn % shards * self.shard_size
        return self.paths[start : start + self.shard_size]


def transform_alone(place: Workplace, turn: int) -> float:
    """Resize pictures that are in memory already, one after the other."""
    settings = IngestSettings(image_size=IMAGE_SIZE, jpeg_quality=QUALITY)
    raw = [path.read_bytes() for path in place.shard(turn)]

    def work() -> int:
        for data in raw:
            store_image(data, "image", settings)
        return len(raw)

    return cpu_per_item(work)


def hash_alone(place: Workplace, turn: int) -> float:
    """Take the SHA-256 of raw pictures that are in memory already."""
    raw = [path.read_bytes() for path in place.shard(turn)]

    def work() -> int:
        for data in raw:
            raw_sha256(data)
        return len(raw)

    return cpu_per_item(work)


def maskloom_shard(place: Workplace, turn: int, *, settings: IngestSettings) -> float:
    """Run the shard task on one shard of a plan that was made beforehand."""
    source = place.fresh("source")
    source.mkdir()
    for path in place.shard(turn):
        shutil.copy2(path, source)
    dataset = place.fresh("dataset")
    dataset.mkdir()
    plan = make_plan(FolderSource(source, folder_labels=False).scan(), replace(settings, shard_size=place.shard_size))
    commit_plan(dataset, plan)
    return cpu_per_item(lambda: write_shard(dataset, 0, source).samples)


def shard_writer(place: Workplace, turn: int, *, transform: Callable[[bytes], bytes]) -> float:
    """Read, transform and write one shard with webdataset."""
    folder, paths = place.fresh("webdataset"), place.shard(turn)
    folder.mkdir()

    def work() -> int:
        with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=len(paths), verbose=0) as writer:
            for path in paths:
                writer.write({"__key__": path.stem, "jpg": transform(path.read_bytes())})
        return len(paths)

    return cpu_per_item(work)


def resized_with_pillow(data: bytes) -> bytes:
    """Do with Pillow what maskloom does: shorter side 256, antialiased bicubic, JPEG of the same quality."""
    with Image.open(io.BytesIO(data)) as image:
        scale = IMAGE_SIZE / min(image.size)
        size = (max(IMAGE_SIZE, round(image.width * scale)), max(IMAGE_SIZE, round(image.height * scale)))
        small = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def marginal(place: Workplace, turn: int, *, command: Callable[[Path, Path], float]) -> float:
    """Return the CPU-seconds that one more picture costs: CPU of all pictures less CPU of two shards, over the rest."""
    few, out = place.scratch / "few", place.fresh("out")
    cost_of_few = command(few, out / "few")
    cost_of_all = command(place.pictures, out / "all")
    return (cost_of_all - cost_of_few) / (len(place.paths) - len(list(few.iterdir())))


def run_ingest(source: Path, out: Path, *, entry: Sequence[str], shard_size: int) -> float:
    """Run a whole ingest in a process of its own."""
    out.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "image-size": IMAGE_SIZE,
        "jpeg-quality": QUALITY,
        "shard-size": shard_size,
        "workers": WORKERS,
    }
    options = [f"--{name}={value}" for name, value in values.items()]
    return cpu_of_command([sys.executable, "-m", *entry, str(source), str(out), *options], out.parent / "log.txt")


def run_img2dataset(source: Path, out: Path, *, python: Path, shard_size: int, server: list[float]) -> float:
    """Run img2dataset on URLs of a local server, whose own cost is put into `server` and not counted."""
    out.mkdir(parents=True)
    names = sorted(path.name for path in source.iterdir())
    with serving(source) as address:
        (out / "urls.txt").write_text("".join(f"{address}/{name}\n" for name in names), encoding="utf-8")
        arguments = {
            "url_list": str(out / "urls.txt"),
            "output_folder": str(out / "shards"),
            "output_format": "webdataset",
            "image_size": IMAGE_SIZE,
            "resize_mode": "keep_ratio",
            "resize_only_if_bigger": True,
            "encode_quality": QUALITY,
            "number_sample_per_shard": shard_size,
            "processes_count": WORKERS,
            "thread_count": 8,
        }
        program = f"import img2dataset\nif __name__ == '__main__':\n    img2dataset.download(**{arguments!r})\n"
        (out / "run.py").write_text(program, encoding="utf-8")
        started = time.process_time()
        cost = cpu_of_command([str(python), str(out / "run.py")], out / "log.txt")
        server.append((time.process_time() - started) / len(names))
    counts = [json.loads(path.read_bytes())["successes"] for path in (out / "shards").glob("*_stats.json")]
    if sum(counts) != len(names):
        raise RuntimeError(f"img2dataset stored {sum(counts)} of {len(names)} pictures; see {out / 'log.txt'}.")
    return cost


def shard_arms(place: Workplace) -> list[Arm]:
    """Return what runs in this one process."""
    resize = IngestSettings(image_size=IMAGE_SIZE, jpeg_quality=QUALITY)
    runs: dict[str, Callable[[Workplace, int], float]] = {
        "transform alone": transform_alone,
        "maskloom shard": functools.partial(maskloom_shard, settings=resize),
        "ShardWriter": functools.partial(shard_writer, transform=resized_with_pillow),
        "copy, check=decode": functools.partial(maskloom_shard, settings=IngestSettings(check=Check.DECODE)),
        "copy, check=header": functools.partial(maskloom_shard, settings=IngestSettings(check=Check.HEADER)),
        "copy, ShardWriter": functools.partial(shard_writer, transform=lambda data: data),
        "sha256 alone": hash_alone,
    }
    return [Arm(name=name, cost=functools.partial(run, place)) for name, run in runs.items()]


def command_arms(place: Workplace, img2dataset: Path | None, server: list[float]) -> list[Arm]:
    """Return what runs as whole commands; img2dataset only where it is installed."""
    few = place.fresh("few")
    few.mkdir()
    for path in place.paths[: 2 * place.shard_size]:
        shutil.copy2(path, few)
    size = place.shard_size
    commands: dict[str, Callable[[Path, Path], float]] = {
        "maskloom ingest": functools.partial(run_ingest, entry=("maskloom", "ingest"), shard_size=size),
        "bare pool": functools.partial(run_ingest, entry=("benchmarks.pool",), shard_size=size),
    }
    if img2dataset is not None:
        commands["img2dataset"] = functools.partial(run_img2dataset, python=img2dataset, shard_size=size, server=server)
    return [
        Arm(name=name, cost=functools.partial(marginal, place, command=command)) for name, command in commands.items()
    ]


def usable(python: Path | None, console: Console) -> Path | None:
    """Return the interpreter if it can import img2dataset; otherwise say why that peer is left out."""
    if python is None:
        console.print("img2dataset is left out: no --img2dataset-python was given.")
        return None
    tried = subprocess.run([str(python), "-c", "import img2dataset"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return python
    console.print(f"img2dataset is left out: {python} cannot import it: {tried.stderr.strip().splitlines()[-1]}")
    return None


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark the making of shards.")
    command.add_argument("--images", type=int, default=1000)
    command.add_argument("--rounds", type=int, default=7, help="rounds in one process")
    command.add_argument("--command-rounds", type=int, default=5, help="rounds of whole commands; 0 leaves them out")
    command.add_argument("--shard-size", type=int, default=256)
    command.add_argument("--img2dataset-python", type=Path, help="interpreter that can import img2dataset")
    command.add_argument("--pictures", type=Path, help="folder for the raw pictures; default: a temporary one")
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/ingest.json"))
    arguments = command.parse_args()
    if arguments.images < 3 * arguments.shard_size:
        command.error("--images has to be at least three times --shard-size.")
    return arguments


def report(one: Costs, two: Costs, *, server: Sequence[float], settings: Mapping[str, str], console: Console) -> None:
    """Print both tables and the targets, and write the measurements."""
    print_costs("Shards, one process", one, reference="ShardWriter", console=console)
    hashing, copying = (statistics.median(one[name]) for name in ("sha256 alone", "copy, check=header"))
    console.print(
        f"The SHA-256 of the raw input is {hashing / copying:.0%} of copy mode with check=header.", highlight=False
    )
    if two:
        title = f"Whole commands, {WORKERS} workers, marginal cost"
        print_costs(title, two, reference="bare pool", console=console)
    if server:
        spread = Spread.of([1e6 * cost for cost in server]).show(".0f")
        console.print(f"HTTP server for img2dataset, not counted: {spread} us CPU a picture.", highlight=False)
    everything = one | two | ({"server of img2dataset, not counted": list(server)} if server else {})
    print_targets(TARGETS, everything, console)
    write_results(Path(settings["json"]), everything, targets=TARGETS, settings=settings, packages=PACKAGES)


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    server: list[float] = []
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        pictures = (arguments.pictures or Path(temporary) / "pictures") / str(arguments.images)
        paths = write_photographs(pictures, arguments.images)
        console.print(f"{len(paths)} pictures, {mean_kilobytes(paths):.1f} kB on average.", highlight=False)
        place = Workplace(
            pictures=pictures, paths=paths, scratch=Path(temporary) / "scratch", shard_size=arguments.shard_size
        )
        place.scratch.mkdir()
        img2dataset = usable(arguments.img2dataset_python, console)
        one = alternate(shard_arms(place), rounds=arguments.rounds, warm_up=1, console=console)
        commands = command_arms(place, img2dataset, server)
        two = alternate(commands, rounds=arguments.command_rounds, warm_up=0, console=console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    report(
        one, {name: values for name, values in two.items() if values}, server=server, settings=settings, console=console
    )


if __name__ == "__main__":
    main()
