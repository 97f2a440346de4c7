"""The commands that make datasets and their targets: ingest, targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ingest.settings import Check, IngestSettings
from ingest.sources.detect import FolderLabels, open_source
from shards.errors import SettingsError

if TYPE_CHECKING:
    from pipelines.views import ViewSet
    from shards.manifest import Manifest

app = typer.Typer()
console = Console(soft_wrap=True)

WorkersOption = Annotated[
    int, typer.Option(help="Shards written at the same time; 0 takes one per processor core.", min=0)
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Use this running Dask scheduler (tcp://host:8786) instead of an embedded one.")
]


@app.command()
def ingest(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of files (a.jpg + a.txt + a.cls are one item), a table (csv, tsv, jsonl, parquet with path or "
            "bytes columns), a folder of WebDataset tars, or one .tar.",
            show_default=False,
        ),
    ],
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset to make, or to complete.", show_default=False)],
    image_size: Annotated[int | None, typer.Option(help="Make the shorter side at most this many pixels.")] = None,
    jpeg_quality: Annotated[int, typer.Option(help="Quality of pictures that must be encoded again.")] = 92,
    check: Annotated[
        Check, typer.Option(help="How far pictures are checked that are stored unchanged.")
    ] = Check.DECODE,
    labels: Annotated[
        FolderLabels,
        typer.Option(help="Take a folder's name as the label of what it holds; auto looks whether it fits."),
    ] = FolderLabels.AUTO,
    column: Annotated[
        list[str] | None, typer.Option(help="For tables: ROLE=COLUMN; roles are image, text, label, licence.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="For tables: folder that their paths are relative to.")] = None,
    require: Annotated[str, typer.Option(help="Fields that a sample must have, for example image,text.")] = "",
    shard_size: Annotated[int, typer.Option(help="Items to a shard; best a multiple of 64.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle that deals items to shards.")] = 0,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
) -> None:
    """Turn raw images, captions and labels into a dataset.

    Every item is stored or rejected with a reason, and counted. Stop it at any time with Ctrl-C, or kill it: the same
    command goes on where it was. EXIF is stripped, pictures are turned upright, damaged ones are refused.

    Examples:

    \b
      maskloom ingest photos/ data/photos --image-size 256
      maskloom ingest captions.csv data/pairs --column image=file --require image,text
    """
    from ingest.run import Cluster
    from ingest.run import ingest as run

    settings = IngestSettings(
        image_size=image_size,
        jpeg_quality=jpeg_quality,
        check=check,
        shard_size=shard_size,
        seed=seed,
        require=tuple(name.strip() for name in require.split(",") if name.strip()),
    )
    opened = open_source(source, columns=_roles(column or []), root=root, labels=labels)
    console.print(f"Source: {opened.describe()}.", highlight=False, markup=False)
    cluster = Cluster(workers=workers or os.cpu_count() or 1, scheduler=scheduler)
    manifest = run(opened, dataset, settings, cluster=cluster, console=console)
    _print_summary(dataset, manifest)
    if manifest.num_samples == 0:
        console.print("Nothing was stored: every item was rejected, for the reasons above.", highlight=False)
        raise typer.Exit(1)


def _roles(columns: list[str]) -> dict[str, str]:
    roles = dict(column.partition("=")[::2] for column in columns)
    for role, name in roles.items():
        if not name:
            raise SettingsError(f"--column {role}: write ROLE=COLUMN, for example --column image=file_name.")
    return roles


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
    for reason, count in manifest.rejects.items():
        console.print(f"rejected, {reason}: {count:,}", highlight=False)
    for what, count in manifest.ignored.items():
        console.print(f"not looked at, {what}: {count:,} files", highlight=False)
    console.print(f"Look at it with: maskloom inspect {dataset}", highlight=False)


@app.command()
def targets(
    dataset: Annotated[Path, typer.Argument(help="The dataset folder.", show_default=False)],
    teacher: Annotated[str, typer.Option(help="Who computes the target: hog.", show_default=False)],
    size: Annotated[int, typer.Option(help="Side of the views in pixels; the same as the model's image size.")] = 224,
    views: Annotated[int, typer.Option(help="Named random crops per sample; 0 stores the centre crop only.")] = 4,
    scale: Annotated[str, typer.Option(help="Smallest and largest share of the picture that a crop takes.")] = "0.2,1",
    flip: Annotated[float, typer.Option(help="Probability that a view is mirrored.")] = 0.5,
    dtype: Annotated[str, typer.Option(help="How values are stored: float16 or float32.")] = "float16",
    setting: Annotated[list[str] | None, typer.Option("--set", help="A setting of the teacher, as in patch=8.")] = None,
    view_seed: Annotated[int, typer.Option(help="Seed of the named views.")] = 0,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
) -> None:
    """Store what a teacher says about every sample, view by view, for recipes that predict it.

    A trainer that reads a stored target replays exactly one of its views on the pixels, crop and flip included. Before a
    target is sealed, 64 samples are computed again in float32 and compared. Killed runs go on where they were.

    Example: maskloom targets data/photos --teacher hog --size 224 --views 4
    """
    from ingest.precompute import make_spec, precompute
    from ingest.run import Cluster
    from ingest.teachers import new_teacher
    from shards.dataset import Dataset

    opened = Dataset.open(dataset)
    built = new_teacher(teacher, size=size, settings=setting or [])
    spec = make_spec(teacher, built, _view_set(size, views, scale, flip, view_seed), dtype)
    console.print(
        f"{spec.target_id}: {spec.num_views} views x {spec.shape} {spec.dtype} = "
        f"{spec.row_bytes / 1e3:.1f} kB a sample, {spec.row_bytes * opened.num_samples / 1e6:,.1f} MB in all.",
        highlight=False,
    )
    sealed = precompute(
        opened, spec, cluster=Cluster(workers=workers or os.cpu_count() or 1, scheduler=scheduler), console=console
    )
    console.print(
        f"Sealed {sealed.target_id}: {sealed.num_samples:,} samples, {sealed.num_bytes / 1e6:,.1f} MB; against float32: "
        f"worst cosine {sealed.parity['worst_cosine']:.6f}, largest difference {sealed.parity['largest_difference']:.2g}.",
        highlight=False,
    )


def _view_set(size: int, views: int, scale: str, flip: float, seed: int) -> ViewSet:
    from pipelines.views import CenterCrop, RandomResizedCrop, ViewSet

    if views == 0:
        return ViewSet(policy=CenterCrop(size=size), count=1, seed=seed)
    try:
        smallest, largest = (float(bound) for bound in scale.split(","))
    except ValueError:
        raise SettingsError(f"--scale {scale}: write the smallest and the largest share, for example 0.2,1.") from None
    policy = RandomResizedCrop(size=size, scale=(smallest, largest), ratio=(3 / 4, 4 / 3), flip_probability=flip)
    return ViewSet(policy=policy, count=views, seed=seed)
