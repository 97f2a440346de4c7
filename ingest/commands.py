"""The command that makes datasets: ingest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingest.cluster import Cluster
from ingest.progress import print_hint
from ingest.settings import (
    AudioSettings,
    AudioStore,
    Check,
    FetchSettings,
    Filters,
    IngestSettings,
    SplitBy,
    Splits,
    VideoSettings,
    VideoStore,
    parse_share,
)
from ingest.sources import Source
from ingest.sources.detect import FolderLabels, open_source
from ingest.sources.report import Tally
from pipelines.settings import apply_settings

if TYPE_CHECKING:
    from shards.manifest import Manifest

app = typer.Typer()
console = Console(soft_wrap=True)

WorkersOption = Annotated[
    int, typer.Option(help="Shards written at the same time; 0 takes one per processor core.", min=0)
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="A running Dask scheduler (tcp://host:8786), or slurm; otherwise this machine.")
]


@app.command()
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of files (a.jpg + a.txt + a.wav are one item), a table (csv, tsv, jsonl, parquet with paths, "
            "addresses or bytes), a .zip, WebDataset tars, arrays (.npz, .npy, IDX), or s3://bucket/folder.",
            show_default=False,
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset to make, or to complete.", show_default=False)],
    field: Annotated[
        list[str] | None,
        typer.Option(help="Files that end like this are this field: NAME[:KIND]=SUFFIX, as in depth=_depth_mm.png."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="For tables and arrays: ROLE[:KIND]=COLUMN; a role is a field, label, licence, start, end, group, split."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="For tables: folder that their paths are relative to.")] = None,
    labels: Annotated[
        FolderLabels,
        typer.Option(help="Take a folder's name as the label of what it holds; auto looks whether it fits."),
    ] = FolderLabels.AUTO,
    require: Annotated[
        str, typer.Option(help="Fields that a sample must have, as in image,text; without it, any media.")
    ] = "",
    image_size: Annotated[
        int | None, typer.Option(help="Make the shorter side of pictures and frames at most this many pixels.")
    ] = None,
    jpeg_quality: Annotated[int, typer.Option(help="Quality of frames, and of pictures encoded again.")] = 92,
    check: Annotated[
        Check, typer.Option(help="How far pictures are checked that are stored unchanged.")
    ] = Check.DECODE,
    clip_seconds: Annotated[float | None, typer.Option(help="Cut videos into clips of this length.")] = None,
    clip_stride: Annotated[float | None, typer.Option(help="Seconds between starts of clips; else end to end.")] = None,
    clip_frames: Annotated[int, typer.Option(help="Frames that are stored of a clip, evenly spaced.")] = 16,
    video_store: Annotated[
        VideoStore, typer.Option(help="Store clips as sampled frames, which train 10 times faster, or as mp4.")
    ] = VideoStore.FRAMES,
    audio_store: Annotated[
        AudioStore, typer.Option(help="Store sound as FLAC, as log-mel features, both, or not at all.")
    ] = AudioStore.BOTH,
    duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Reject items whose media occurred before, byte for byte.")
    ] = False,
    near_duplicates: Annotated[
        int | None, typer.Option(help="Reject pictures that look like an earlier one: bits that may differ, as in 3.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Set a share of the items apart: NAME=SHARE, as in val=0.1; the rest is train."),
    ] = None,
    split_by: Annotated[
        SplitBy,
        typer.Option(help="Never divide items whose media are the same, or items of one group, between splits."),
    ] = SplitBy.CONTENT,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any other setting: filters.min_side=64, limits.item_seconds=30, audio.rate=32000 ..."
        ),
    ] = None,
    allow_private_addresses: Annotated[
        bool,
        typer.Option("--allow-private-addresses", help="Fetch from addresses of this machine and its network too."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how the source is understood and what it lists, and stop.")
    ] = False,
    shard_size: Annotated[int, typer.Option(help="Items to a shard; best a multiple of 64.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of shuffle, splits and points drawn from meshes.")] = 0,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
) -> None:
    """Turn raw images, video, audio, point clouds, rasters and captions into a dataset.

    Every item is stored or rejected with a reason, and counted. Stop it at any time with Ctrl-C, or kill it: the same
    command goes on where it was. What was understood is printed first; --dry-run stops there.

    Examples:

    \b
      maskloom ingest photos/ data/photos --image-size 256
      maskloom ingest films/ data/clips --clip-seconds 10 --image-size 256
      maskloom ingest rgbd/ data/rgbd --field image=_rgb.jpg --field depth=_depth.png --require image,depth
      maskloom ingest captions.csv data/pairs --column image=file --require image,text --split val=0.1
    """
    settings = IngestSettings(
        image_size=image_size,
        jpeg_quality=jpeg_quality,
        check=check,
        shard_size=shard_size,
        seed=seed,
        require=tuple(name.strip() for name in require.split(",") if name.strip()),
        video=VideoSettings(store=video_store, frames=clip_frames, clip_seconds=clip_seconds, clip_stride=clip_stride),
        audio=AudioSettings(store=audio_store),
        filters=Filters(duplicates=duplicates, near_duplicates=near_duplicates),
        splits=Splits(shares=tuple(map(parse_share, split or ())), by=split_by),
        fetch=FetchSettings(allow_private_addresses=allow_private_addresses),
    )
    opened = open_source(source, columns=column or [], fields=field or [], root=root, labels=labels)
    for line in opened.understanding.lines():
        console.print(line, highlight=False, markup=False)
    settings = apply_settings(settings, setting or [])
    if dry_run:
        _print_listing(opened)
        return
    _run_ingest(opened, dataset, settings, Cluster(workers=workers or os.cpu_count() or 1, scheduler=scheduler))


def _print_listing(source: Source) -> None:
    """List the source without reading media, and show what comes of it."""
    tally = Tally()
    listing = list(tally.watch(source.scan()))
    for line in tally.lines(source.ignored):
        console.print(line, highlight=False, markup=False)
    print_hint(source, listing, console)


def _run_ingest(source: Source, dataset: Path, settings: IngestSettings, cluster: Cluster) -> None:
    from ingest.run import ingest as run

    manifest = run(source, dataset, settings, cluster=cluster, console=console)
    _print_summary(dataset, manifest)
    if manifest.num_samples == 0:
        console.print("Nothing was stored: every item was rejected, for the reasons above.", highlight=False)
        raise typer.Exit(1)


def _print_summary(dataset: Path, manifest: Manifest) -> None:
    console.print(
        f"{dataset}: {manifest.num_items:,} items = {manifest.num_samples:,} samples stored in {manifest.num_shards} shards "
        f"+ {manifest.num_rejects:,} rejected.",
        highlight=False,
    )
    table = Table("field", "samples", "megabytes")
    for name, summary in manifest.fields.items():
        table.add_row(name, f"{summary.samples:,}", f"{summary.bytes / 1e6:.1f}")
    console.print(table)
    if manifest.classes:
        shown = ", ".join(manifest.classes[:12]) + (", ..." if len(manifest.classes) > 12 else "")
        console.print(f"{len(manifest.classes)} classes: {shown}", highlight=False, markup=False)
    for name, split in manifest.splits.items():
        console.print(f"split {name}: {split.samples:,} samples; open it as {dataset}:{name}", highlight=False)
    for reason, count in manifest.rejects.items():
        console.print(f"rejected, {reason}: {count:,}", highlight=False)
    for what, count in manifest.ignored.items():
        console.print(f"not looked at, {what}: {count:,}", highlight=False)
    console.print(f"Look at it with: maskloom inspect {dataset}", highlight=False)
