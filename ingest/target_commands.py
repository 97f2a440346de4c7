"""The command that stores what teachers say: targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from ingest.cluster import Cluster
from ingest.commands import SchedulerOption, WorkersOption
from shards.errors import SettingsError

if TYPE_CHECKING:
    from ingest.targets.look import Look
    from ingest.targets.plan import TargetPlan
    from shards.target_spec import SealedTarget, TargetSpec

app = typer.Typer()
console = Console(soft_wrap=True)

DEFAULT_SIZE = 224


@app.command()
def targets(
    dataset: Annotated[str, typer.Argument(help="The dataset folder.", show_default=False)],
    teacher: Annotated[
        str, typer.Option(help="Who computes the target; `maskloom teachers` lists them.", show_default=False)
    ],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the teacher, as in patch=8; may be repeated.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the views in pixels, that of the model's pictures. Default: 224, or a tokenizer's own."
        ),
    ] = None,
    views: Annotated[int, typer.Option(help="Named random views per sample; 0 stores the one in the middle.")] = 4,
    scale: Annotated[str, typer.Option(help="Smallest and largest share of the picture that a crop takes.")] = "0.2,1",
    flip: Annotated[float, typer.Option(help="Probability that a view is mirrored.")] = 0.5,
    view_seed: Annotated[int, typer.Option(help="Seed of the named views.")] = 0,
    field: Annotated[str, typer.Option(help="Field that the teacher is shown; a video is shown frame by frame.")] = "",
    frames: Annotated[int, typer.Option(help="Of videos: frames of a view.", min=1)] = 16,
    stride: Annotated[int, typer.Option(help="Of videos: stored frames from one frame to the next.", min=1)] = 1,
    tubelet: Annotated[int, typer.Option(help="Of videos: frames for which the teacher sees the first.", min=1)] = 2,
    seconds: Annotated[float | None, typer.Option(help="Of sound: length of the views; else all of it.")] = None,
    store: Annotated[
        str | None,
        typer.Option(help="How values are stored: float16, float32, int8, pca:N, pca:N:int8; ids need nothing said."),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Measure a sample, print bytes, hours and error of each way to store, and stop."),
    ] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="What to compute on; auto takes the GPUs if there are any.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="Number format of matrix products; auto is bf16 on a GPU, but fp32 for token ids."),
    ] = "auto",
    batch: Annotated[int, typer.Option(help="Views at a time; halved whenever memory runs out.", min=1)] = 64,
    workers: WorkersOption = 0,
    scheduler: SchedulerOption = None,
) -> None:
    """Store what a teacher says about every sample, view by view, for recipes that predict it.

    A trainer that reads a stored target replays exactly one of its views on the pixels, crop and flip included. Before a
    target is sealed, 64 samples are computed again in float32 and compared. Killed runs go on where they were.

    \b
    Examples:
      maskloom targets data/photos --teacher hog --size 224 --views 4
      maskloom targets data/photos --teacher clip --set model=ViT-B-16 --set pretrained=openai --plan
      maskloom targets data/photos --teacher dino --set model=vit_small_patch14_dinov2 --set input_size=196 --store int8
      maskloom targets data/photos --teacher tokens --set tokenizer=runs/vq
      maskloom targets data/clips --teacher hog --field video --frames 16 --stride 2
    """
    from ingest.targets.look import Wish, look_of
    from ingest.targets.run import manner_of, precompute, tasks_at_once
    from ingest.targets.spec import default_coding, default_precision, make_spec
    from ingest.teachers import new_teacher
    from shards.dataset import Dataset
    from shards.target_spec import parse_coding

    if "://" in dataset:
        raise SettingsError(
            f"{dataset}: targets are written into a folder of this machine; copy the dataset here first."
        )
    opened = Dataset.open(Path(dataset))
    cluster = Cluster(workers=workers or os.cpu_count() or 1, scheduler=scheduler)
    wish = Wish(
        views=views,
        scale=_range(scale),
        flip=flip,
        seed=view_seed,
        field=field,
        frames=frames,
        stride=stride,
        tubelet=tubelet,
        seconds=seconds,
    )
    built = new_teacher(teacher, size=size or DEFAULT_SIZE, settings=setting or [])
    look = look_of(built, wish, opened)
    _require_size(size, look)
    manner = manner_of(opened, device, batch=batch, workers=cluster.workers)
    number_format = default_precision(built, manner.device) if precision == "auto" else precision
    if plan:
        from ingest.targets.plan import plan_target

        at_once = tasks_at_once(opened, manner.device, cluster.workers)
        _print_plan(plan_target(opened, look, manner=manner, precision=number_format), look, at_once)
        return
    coding = default_coding(built) if store is None else parse_coding(store)
    spec = make_spec(teacher, look, coding=coding, precision=number_format)
    _print_spec(spec, opened.num_samples)
    _print_sealed(precompute(opened, spec, manner=manner, cluster=cluster, console=console))


def _require_size(size: int | None, look: Look) -> None:
    """A teacher that has a size of its own is not shown another one."""
    if size is not None and look.views.size not in (0, size):
        raise SettingsError(
            f"--size {size}: this teacher looks at pictures of {look.views.size} pixels. Leave --size out, or train the "
            "teacher at the other size."
        )


def _range(text: str) -> tuple[float, float]:
    try:
        smallest, largest = (float(bound) for bound in text.split(","))
    except ValueError:
        raise SettingsError(f"--scale {text}: write the smallest and the largest share, for example 0.2,1.") from None
    return smallest, largest


def _say(text: str) -> None:
    console.print(text, highlight=False, markup=False)


def _print_spec(spec: TargetSpec, num_samples: int) -> None:
    _say(
        f"{spec.target_id}: {spec.num_views} views x {spec.shape} as {spec.coding} = "
        f"{spec.row_bytes / 1e3:.1f} kB a sample, {spec.row_bytes * num_samples / 1e6:,.1f} MB in all. "
        f"Input: {spec.preprocessing}."
    )


def _print_sealed(sealed: SealedTarget) -> None:
    parity = sealed.parity
    against = (
        f"{parity['equal_ids']:.2%} of the ids are the same"
        if sealed.spec.coding.holds_ids
        else f"mean cosine {parity['mean_cosine']:.6f}, worst {parity['worst_cosine']:.6f}, "
        f"largest difference {parity['largest_difference']:.2g}"
    )
    _say(
        f"Sealed {sealed.target_id}: {sealed.num_samples:,} samples, {sealed.num_bytes / 1e6:,.1f} MB; against a "
        f"recomputation in float32: {against}."
    )
    if sealed.num_blank:
        _say(f"{sealed.num_blank:,} samples do not have what the teacher looks at: their rows are zeros.")


def _print_plan(plan: TargetPlan, look: Look, at_once: int) -> None:
    hours = plan.seconds / 3600
    shared = f", {hours / at_once:,.2f} by {at_once}" if at_once > 1 else ""
    _say(
        f"{look.views.count} views x {look.shape} a sample, about {hours:,.2f} hours by one process{shared}; measured on "
        f"{plan.samples} samples."
    )
    table = Table("--store", "megabytes", "mean cosine", "worst cosine", title="against float32")
    for choice in plan.choices:
        cosines = ("-", "-") if choice.coding.holds_ids else (f"{choice.mean_cosine:.5f}", f"{choice.worst_cosine:.5f}")
        table.add_row(str(choice.coding), f"{choice.bytes / 1e6:,.1f}", *cosines)
    console.print(table)


@app.command()
def teachers() -> None:
    """List the teachers of `maskloom targets`, with their settings.

    Example: maskloom teachers
    """
    from dataclasses import MISSING, fields

    from ingest.teachers import teacher_class, teacher_names, teacher_summary

    table = Table("name", "what it says", "settings (--set)")
    for name in teacher_names():
        settings = [item for item in fields(teacher_class(name)) if item.name != "size"]
        shown = (item.name if item.default is MISSING else f"{item.name}={item.default}" for item in settings)
        table.add_row(name, teacher_summary(name), ", ".join(shown))
    console.print(table)
