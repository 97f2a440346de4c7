"""The commands that look into a dataset, inspect, and measure how it streams, bench."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from shards.errors import SettingsError

if TYPE_CHECKING:
    from pipelines.bench import Throughput
    from pipelines.inspect.examined import Examined
    from pipelines.loading import Loading
    from pipelines.modalities import Modality
    from pipelines.tokenizers.vq.tokenizer import VqTokenizer
    from shards.dataset import Dataset

app = typer.Typer()
bench = typer.Typer(help="Measure on this machine.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bench, name="bench")
console = Console(soft_wrap=True)

_TOP_CLASSES = 20
_THIS_PROCESS = "this process"


@app.command()
def inspect(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="The dataset folder, or one split of it, as in photos:val.", show_default=False
        ),
    ],
    html: Annotated[
        bool, typer.Option("--html", help="Write a page to look at samples of every kind in the browser.")
    ] = False,
    samples: Annotated[int, typer.Option(help="Samples that the page shows.", min=1, max=400)] = 48,
    out: Annotated[Path | None, typer.Option(help="Folder to write into; by default DATASET/inspect.")] = None,
    tokenizer: Annotated[
        list[Path] | None,
        typer.Option(help="Run or file of a tokenizer that the page turns stored ids back with; may be repeated."),
    ] = None,
) -> None:
    """Show what a dataset holds: counts, spreads, classes, splits, rejects with examples, and a contact sheet.

    With --html it also writes index.html: pictures, frames, sounds to play, point clouds to turn, captions,
    distributions, rejects, and beside every sample what teachers said about it, on one page that needs nothing from outside.

    \b
    Examples:
      maskloom inspect data/photos
      maskloom inspect data/clips:val --html --samples 100
      maskloom inspect data/photos --html --tokenizer runs/vq
    """
    from shards.dataset import Dataset

    opened = Dataset.open(dataset)
    tokenizers = _tokenizers(tokenizer or [], html=html)
    _print_counts(opened)
    _print_rejects(opened)
    if opened.num_samples:
        _print_samples(opened)
    _print_targets(opened, tokenizers)
    folder = out or opened.root / "inspect"
    _write_sheet(opened, folder)
    if html:
        _write_page(opened, folder, samples=samples, tokenizers=tokenizers)


@bench.command(name="stream")
def bench_stream(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="Folder or address of a dataset, or of one split.", show_default=False),
    ],
    fields: Annotated[
        str, typer.Option(help="Fields to stream, with commas between them; by default all that can be decoded.")
    ] = "",
    size: Annotated[int, typer.Option(help="Side of pictures in pixels, a multiple of 16.", min=16)] = 224,
    batch: Annotated[int, typer.Option(help="Samples per batch.", min=1)] = 64,
    batches: Annotated[int, typer.Option(help="Batches to measure, each way.", min=1)] = 30,
    workers: Annotated[int, typer.Option(help="Worker processes of the second and third measurement.", min=1)] = 2,
    step_ms: Annotated[
        float, typer.Option(help="Pause after each batch, as long as a training step on your GPU takes.", min=0)
    ] = 0.0,
) -> None:
    """Stream a dataset as a training would, and print how fast it is and where the time goes.

    Batches are made in this process, by worker processes and by threads. `waiting` is the share of wall time that the one
    who takes the batches waits for them: with --step-ms set to what your step takes, it should be near zero.

    \b
    Examples:
      maskloom bench stream data/photos
      maskloom bench stream s3://bucket/clips --fields video,logmel --batch 32 --workers 8 --step-ms 120
    """
    import torch

    from pipelines.bench import profile, streamed_modalities
    from shards.dataset import Dataset

    torch.set_num_threads(1)  # as in a worker process; several threads for one picture only get in each other's way
    opened = Dataset.open(dataset)
    modalities = streamed_modalities(opened, [field for field in fields.split(",") if field], size=size)
    names = ", ".join(f"{modality.name} ({type(modality).__name__})" for modality in modalities)
    console.print(f"{opened.num_samples:,} samples of {opened.root}: {names}", highlight=False, markup=False)
    found = _measure(opened, modalities, batch=batch, batches=batches, workers=workers, step_ms=step_ms)
    _print_throughput(found, batch=batch)
    cpu_seconds = found[_THIS_PROCESS].cpu_seconds_per_sample
    _print_stages(profile(opened, modalities, batch=batch, batches=batches, cpu_seconds=cpu_seconds))


def _measure(
    dataset: Dataset, modalities: list[Modality], *, batch: int, batches: int, workers: int, step_ms: float
) -> dict[str, Throughput]:
    """Measure every way of loading, and return what each does by its name."""
    from pipelines.bench import measure, open_bench
    from pipelines.loading import Here, Threads, Workers

    ways: dict[str, tuple[Loading, int]] = {
        _THIS_PROCESS: (Here(), 0),
        f"{workers} workers": (Workers(count=workers), 2 * workers),
        f"{workers} threads": (Threads(count=workers), 2 * workers),
    }
    return {
        name: measure(
            open_bench(dataset, modalities, batch=batch, loading=loading),
            batches=batches,
            ahead=ahead,
            step_seconds=step_ms / 1e3,
        )
        for name, (loading, ahead) in ways.items()
    }


def _print_throughput(found: dict[str, Throughput], *, batch: int) -> None:
    table = Table("made by", "samples / s", "us CPU / sample", "waiting", title=f"Batches of {batch}")
    for name, throughput in found.items():
        table.add_row(
            name,
            f"{throughput.samples / throughput.seconds:,.0f}",
            f"{1e6 * throughput.cpu_seconds_per_sample:,.0f}",
            f"{throughput.waited_seconds / throughput.seconds:.0%}",
        )
    console.print(table)


def _print_stages(stages: dict[str, float]) -> None:
    title = "In this process: shares by a profiler, of the time without one"
    table = Table("where the time goes", "us CPU / sample", "share", title=title)
    for stage, seconds in stages.items():
        table.add_row(stage, f"{1e6 * seconds:,.0f}", f"{seconds / sum(stages.values()):.0%}")
    console.print(table)


def _tokenizers(paths: list[Path], *, html: bool) -> dict[str, VqTokenizer]:
    """Return the tokenizers of a user by the digest of their weights."""
    if not paths:
        return {}
    if not html:
        raise SettingsError("--tokenizer turns stored ids back on the page: add --html.")
    from pipelines.inspect.targets.viewer import load_tokenizers

    return load_tokenizers(paths)


def _write_sheet(dataset: Dataset, folder: Path) -> None:
    from pipelines.inspect.contact_sheet import write_contact_sheet

    sheet = write_contact_sheet(dataset, folder) if dataset.num_samples else None
    if sheet is not None:
        console.print(f"Contact sheet: {sheet}", highlight=False, markup=False)


def _write_page(dataset: Dataset, folder: Path, *, samples: int, tokenizers: Mapping[str, VqTokenizer]) -> None:
    from pipelines.inspect.page import write_page

    name = f"{dataset.split}.html" if dataset.split else "index.html"
    page = write_page(dataset, folder / name, samples=samples, tokenizers=tokenizers)
    console.print(f"Page: {page}", highlight=False, markup=False)


def _print_counts(dataset: Dataset) -> None:
    manifest = dataset.manifest
    console.print(f"{dataset.root}, made from {manifest.source}", highlight=False, markup=False)
    console.print(
        f"{manifest.num_items:,} items = {manifest.num_samples:,} samples in {manifest.num_shards} shards "
        f"+ {manifest.num_rejects:,} rejected",
        highlight=False,
    )
    if manifest.splits:
        splits = ", ".join(f"{name} {split.samples:,}" for name, split in manifest.splits.items())
        shown = f"; shown below: {dataset.split}" if dataset.split else ""
        console.print(f"splits: {splits}{shown}", highlight=False, markup=False)
    table = Table("field", "kind", "samples", "megabytes", "mean bytes")
    for name, field in manifest.fields.items():
        mean = f"{field.bytes / field.samples:,.0f}"
        table.add_row(name, field.kind, f"{field.samples:,}", f"{field.bytes / 1e6:,.1f}", mean)
    console.print(table)


def _print_samples(dataset: Dataset) -> None:
    from pipelines.inspect.examined import examine

    examined = examine(dataset)
    _print_spreads(examined)
    _print_classes(dataset, examined)
    grouped = sum(count for group, count in examined.groups.items() if group)
    if grouped:
        groups = len(examined.groups) - ("" in examined.groups)
        console.print(f"{grouped:,} of {examined.num_samples:,} samples belong to {groups:,} groups", highlight=False)
    if examined.num_unreadable:
        console.print(
            f"{examined.num_unreadable:,} samples stand in an index that cannot be read: "
            f"run maskloom verify {dataset.root}",
            highlight=False,
            markup=False,
        )


def _print_spreads(examined: Examined) -> None:
    from pipelines.inspect.wording import number

    spreads = examined.spreads()
    varied = {name: spread for name, spread in spreads.items() if spread.least < spread.most}
    if varied:
        table = Table(f"of {examined.num_samples:,} samples", "least", "5 %", "median", "95 %", "most")
        for name, spread in varied.items():
            table.add_row(name, *map(number, (spread.least, spread.low, spread.median, spread.high, spread.most)))
        console.print(table)
    same = [f"{name} {number(spread.least)}" for name, spread in spreads.items() if name not in varied]
    if same:
        console.print(f"the same in all of them: {', '.join(same)}", highlight=False)


def _print_classes(dataset: Dataset, examined: Examined) -> None:
    from pipelines.inspect.examined import class_name

    classes = dataset.manifest.classes
    if examined.labels:
        counts = [(class_name(classes, label), count) for label, count in examined.labels.most_common()]
        shown = ", ".join(f"{name} {count:,}" for name, count in counts[:_TOP_CLASSES])
        more = f", and {len(counts) - _TOP_CLASSES} more" if len(counts) > _TOP_CLASSES else ""
        console.print(f"{len(counts)} classes: {shown}{more}", highlight=False, markup=False)


def _print_rejects(dataset: Dataset) -> None:
    from pipelines.inspect.rejects import reject_examples

    for reason, examples in reject_examples(dataset).items():
        console.print(f"rejected, {reason}: {dataset.manifest.rejects.get(reason, 0):,}", highlight=False)
        for source, detail in examples:
            console.print(f"    {source}: {detail}", highlight=False, markup=False)
    for what, count in dataset.manifest.ignored.items():
        console.print(f"not looked at, {what}: {count:,}", highlight=False, markup=False)
    for licence, count in dataset.manifest.licences.items():
        console.print(f"licence, {licence}: {count:,}", highlight=False, markup=False)


def _print_targets(dataset: Dataset, tokenizers: Mapping[str, VqTokenizer]) -> None:
    from pipelines.inspect.targets.listing import list_targets

    listed = list_targets(dataset)
    for target in listed:
        console.print(f"target {target.target_id}", highlight=False, markup=False)
        for name, words in target.facts or (("damaged", target.problem),):
            console.print(f"    {name}: {words}", highlight=False, markup=False)
    known = {target.sealed.spec.weights_sha256 for target in listed if target.sealed is not None}
    for digest in tokenizers.keys() - known:
        console.print(f"no target was made with the tokenizer of sha256 {digest[:12]}", highlight=False, markup=False)
