"""The commands that work on a dataset folder: verify, index, gc, drop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

app = typer.Typer()
console = Console(soft_wrap=True)

DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset folder.", show_default=False)]


@app.command()
def verify(dataset: DatasetArgument) -> None:
    """Check every byte of a dataset: hashes, tar structure, counts, alignment of stored targets.

    Exits with 1 and a list of findings if anything is not as recorded.

    Example: maskloom verify data/birds
    """
    from shards.dataset import Dataset
    from shards.verify import verify as check

    opened = Dataset.open(dataset)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Verifying", total=opened.manifest.num_shards)
        findings = check(opened, on_shard=lambda _: progress.advance(task))
    if not findings:
        targets = len(opened.target_ids())
        console.print(
            f"{dataset} is sound: {opened.num_samples:,} samples in {opened.manifest.num_shards} shards, "
            f"{opened.manifest.num_rejects:,} rejects, {targets} stored targets.",
            highlight=False,
        )
        return
    table = Table("where", "what", title=f"{len(findings)} findings in {dataset}")
    for finding in findings:
        table.add_row(finding.where, finding.what)
    console.print(table)
    raise typer.Exit(1)


@app.command()
def index(folder: Annotated[Path, typer.Argument(help="A folder of WebDataset tars.", show_default=False)]) -> None:
    """Adopt a folder of WebDataset tars that others wrote, in place: only indexes are added, no tar is changed.

    Example: maskloom index downloads/cc3m-shards
    """
    from shards.adopt import adopt

    manifest = adopt(folder, on_shard=lambda shard: console.print(f"indexed shard {shard}", highlight=False))
    console.print(
        f"{folder} is a dataset now: {manifest.num_samples:,} samples with {', '.join(manifest.fields)}; "
        f"{manifest.num_rejects:,} rejected, ignored members: {sum(manifest.ignored.values()):,}.",
        highlight=False,
    )
    for reason, count in manifest.rejects.items():
        console.print(f"rejected, {reason}: {count:,}", highlight=False)
    console.print(f"Look at it with: maskloom inspect {folder}", highlight=False)


@app.command()
def gc(
    dataset: DatasetArgument,
    older_than_minutes: Annotated[
        float, typer.Option(help="Leave younger files alone: a running ingest owns them.")
    ] = 60,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the files; without it they are only listed.")
    ] = False,
) -> None:
    """List, or with --delete remove, what killed runs left behind. No file that a receipt names is ever touched.

    Example: maskloom gc data/birds --delete
    """
    from shards.garbage import find_garbage

    paths = find_garbage(dataset, older_than_s=older_than_minutes * 60)
    size = sum(path.stat().st_size for path in paths)
    for path in paths:
        console.print(str(path.relative_to(dataset)), highlight=False)
        if delete:
            path.unlink(missing_ok=True)
    done = "deleted" if delete else "could be deleted (add --delete)"
    console.print(f"{len(paths)} files, {size / 1e6:.1f} MB {done}.", highlight=False)


@app.command()
def drop(
    dataset: DatasetArgument,
    target: Annotated[
        str, typer.Argument(help="Id of the stored target, as `maskloom inspect` lists it.", show_default=False)
    ],
) -> None:
    """Remove a stored target. The samples, and all other targets, are not touched.

    Example: maskloom drop data/birds hog-1f2e3d4c5b6a
    """
    from shards.dataset import Dataset
    from shards.target_writer import drop_target

    freed = drop_target(Dataset.open(dataset), target)
    console.print(f"{target} is gone: {freed / 1e6:,.1f} MB freed.", highlight=False)
