"""The commands that learn: train, eval, import, export, recipes."""

# torch takes seconds to import, so whatever needs it is imported inside the commands.
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from shards.errors import SettingsError

if TYPE_CHECKING:
    from trainers.launch import Request
    from trainers.loop import Ending

app = typer.Typer()
console = Console()

RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="Name of a recipe (`maskloom recipes` lists them), or package.module:function for one of your own.",
        show_default=False,
    ),
]
DataOption = Annotated[
    str,
    typer.Option("--data", help="Folder or address of the dataset; photos:val is one split of it.", show_default=False),
]
MixedDataOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Folder or address of a dataset; photos:val is one split of it. Repeated, the datasets are mixed.",
        show_default=False,
    ),
]
RunArgument = Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder of the run to make or to go on with.", show_default=False)
]
SizeOption = Annotated[str, typer.Option(help="Size of the model: tiny, small, base, large or huge.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value of the recipe, as in --set model.depth=6; may be repeated."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="What to compute on; auto takes the GPU if there is one.")
]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Number format of matrix products; auto is bf16 on a GPU, fp32 on a CPU, as before on resuming."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Processes that read data ahead, for each GPU. Default: one per core, at most 8.", min=0),
]


@app.command()
def train(
    recipe: RecipeArgument,
    data: MixedDataOption,
    out: OutOption,
    size: SizeOption = "base",
    settings: SettingsOption = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="Weight of one of several datasets, by the last part of its path: photos=2, or photos=2@0,0.5@10000 to "
            "change with the steps; may be repeated. Default: 1."
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Passes over all datasets together; the recipe's own number if not given.", min=0.0),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of epochs.", min=1)] = None,
    batch: Annotated[
        int | None, typer.Option(help="Samples per optimiser step over all GPUs; the learning rate follows.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides initial weights, order, crops and masks.", min=0)] = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    threads: Annotated[
        int, typer.Option(help="Threads that read data ahead instead of processes; 0 for processes.", min=0)
    ] = 0,
    decode: Annotated[
        Literal["cpu", "device"],
        typer.Option(help="Where JPEG files are decoded: by the CPU, or by nvJPEG on the GPU, a few levels apart."),
    ] = "cpu",
    damage_budget: Annotated[
        int,
        typer.Option(
            help="Damaged samples that each GPU may replace by others; they are listed in OUT. With 0, the first one is an "
            "error.",
            min=0,
        ),
    ] = 0,
    accumulate: Annotated[
        int, typer.Option(help="Parts in which each GPU takes its share of a batch, when memory is short.", min=1)
    ] = 1,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)] = 500,
    log_every: Annotated[
        int | None, typer.Option(help="Steps between readings of the loss. Default: 10 on a GPU, 1 on a CPU.", min=1)
    ] = None,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network first: slow to start, faster after.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Remove the run in OUT and start over, or go on with it.")
    ] = False,
) -> None:
    """Train a model by a recipe on a dataset.

    The same command again goes on where the run stopped, however it stopped, and takes the same samples to the same
    losses. Ctrl-C finishes the step, saves and leaves. Watch OUT/metrics.jsonl, `tensorboard --logdir OUT`, or read
    OUT/report.html at the end.

    On several GPUs: torchrun --nproc-per-node 8 -m maskloom train ...; --batch counts over all of them.

    Example, a small run on a laptop:

    \b
        maskloom train mae --data photos --out runs/first --size tiny --batch 64 --epochs 20
        maskloom train mae --data photos --data s3://bucket/stills --weight stills=0.5 --out runs/mixed
    """
    from trainers.launch import Manner, Request, train_run

    chosen = (*(settings or ()), *((f"training.batch={batch}",) if batch else ()))
    request = Request(
        recipe=recipe,
        size=size,
        settings=chosen,
        seed=seed,
        data=tuple(data),
        weights=tuple(weight or ()),
        out=out,
        epochs=epochs,
        steps=steps,
        precision=precision,
    )
    manner = Manner(
        device=device,
        workers=_workers(workers, threads),
        threads=threads,
        decode=decode,
        damage_budget=damage_budget,
        accumulate=accumulate,
        save_every=save_every,
        log_every=log_every,
        compile=compile_network,
    )
    ending = train_run(request, manner, fresh=fresh, console=console)
    if int(os.environ.get("RANK", "0")) == 0:
        _say_how_it_ended(request, ending)
    if ending.signal is not None:
        raise typer.Exit(128 + ending.signal)


def _workers(asked: int | None, threads: int) -> int:
    """Worker processes to start: none beside threads."""
    if asked and threads:
        raise SettingsError(f"--workers {asked} and --threads {threads} both read data ahead. Give one of them.")
    return 0 if threads else default_workers() if asked is None else asked


def default_workers() -> int:
    """One data worker per core this process may use, at most 8."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _say_how_it_ended(request: "Request", ending: "Ending") -> None:
    if ending.signal is not None:
        _say(f"Stopped after step {ending.step}, as asked, and saved. The same command goes on from there.")
        return
    _say(f"The run in {request.out} is complete: {ending.step} steps. Its report is {request.out}/report.html.")
    _say(f"Next: maskloom eval {request.out} --data {request.data[0]}")


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


@app.command(name="eval")
def evaluate(
    run: RunArgument,
    data: DataOption,
    test_data: Annotated[
        str | None, typer.Option(help="Dataset to test on; without it, one in five samples of --data.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="For a run of your own package.module:function: that name again, which allows its code to be executed."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first so many samples.", min=1)] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
) -> None:
    """Measure what a trained encoder knows, and draw what it imagines; of a tokenizer, what its ids keep.

    Labels are read off frozen features in two ways, by 20 nearest neighbours and by a linear probe, from the trained
    encoder, from the same encoder with random weights, and from raw values (pixels, bags of words): the first has to beat
    the other two to have learned anything. With several modalities, each is also probed alone, and looked for by the
    others (R@1, 5, 10). Of every target of the recipe it draws what was hidden, as the network imagines it, masked as in
    training: pictures, clips, spectrograms, rasters and clouds; of captions it tells the best guesses. A dataset without
    labels gets retrieval and pictures only. Results go to RUN/eval and into RUN/report.html.

    Example:

    \b
        maskloom eval runs/first --data photos --limit 5000
    """
    from pipelines.device.choice import pick_device, pick_precision, precision_dtype
    from shards.dataset import Dataset
    from trainers.evaluate.evaluation import evaluate as measure
    from trainers.evaluate.evaluation import load_subject
    from trainers.report.page import build_report
    from trainers.run import RunFolder

    folder, chosen = RunFolder(run), pick_device(device)
    dtype = precision_dtype(pick_precision(precision, chosen))
    subject = load_subject(folder, device=chosen, dtype=dtype, typed_recipe=recipe, say=_say)
    result = measure(
        folder,
        subject,
        Dataset.open(data),
        Dataset.open(test_data) if test_data else None,
        limit=limit,
        workers=default_workers() if workers is None else workers,
    )
    _show(result)
    _say(f"Report: {build_report(folder)}")


def _show(result: dict[str, Any]) -> None:
    from trainers.report.page import found_rows, score_rows, token_rows

    classification = result["classification"]
    if "skipped" in classification:
        _say(f"No classification: {classification['skipped']}.")
    else:
        table = Table(title=f"Accuracy at step {result['step']}, 95 % interval")
        for name in ("Features", "Nearest neighbours", "Linear probe"):
            table.add_column(name, justify="left" if name == "Features" else "right")
        for row in score_rows(classification):
            table.add_row(row["name"], *(f"{score['accuracy']} ({score['range']})" for score in row["scores"]))
        table.add_row("most frequent label", *[f"{classification['majority']['accuracy']:.1%}"] * 2)
        console.print(table)
        _say(f"{classification['train_samples']} samples to learn from, {classification['test_samples']} to test on.")
    for found in map(found_rows, result["retrieval"]):
        _show_found(found)
    for name, value in token_rows(result["tokens"]):
        _say(f"{name}: {value}")
    for drawn in result["reconstructions"]:
        if "skipped" in drawn:
            _say(f"No reconstruction of {drawn['target']}: {drawn['skipped']}.")


def _show_found(found: dict[str, Any]) -> None:
    if not found["rows"]:
        _say(f"No retrieval of {found['title']}: {found['note']}.")
        return
    table = Table(title=f"Found across modalities: {found['title']}")
    for name in ("Vectors", "From, to", *found["cuts"]):
        table.add_column(name, justify="left" if name in ("Vectors", "From, to") else "right")
    for row in found["rows"]:
        table.add_row(
            row["name"], row["direction"], *(f"{score['accuracy']} ({score['range']})" for score in row["scores"])
        )
    console.print(table)
    _say(found["note"])


@app.command(name="import")
def import_run(
    recipe: RecipeArgument,
    weights: Annotated[Path, typer.Argument(help="Published weights: .safetensors, .pth or .npz.", show_default=False)],
    out: OutOption,
    size: SizeOption = "base",
    settings: SettingsOption = None,
    part: Annotated[
        Literal["network", "encoder"],
        typer.Option(help="What the file holds: the whole network, or an encoder without its decoder."),
    ] = "network",
) -> None:
    """Make a run out of published weights, to evaluate or to encode with.

    Names of the official codes of MAE (timm's too), VideoMAE, AudioMAE, Point-MAE, CAV-MAE, MultiMAE, M3AE and 4M are
    understood. Nothing in the file is executed; pickles are refused, with advice.

    Example:

    \b
        maskloom import mae mae_pretrain_vit_base_full.pth --out runs/official
        maskloom eval runs/official --data photos
    """
    from trainers.adoption import adopt_weights

    adopt_weights(recipe, weights, out, size=size, settings=tuple(settings or ()), part=part)
    _say(f"{out} holds {weights.name}. Next: maskloom eval {out} --data DATASET")


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="File to write, ending in .safetensors.", show_default=False)],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="For a run of your own package.module:function: that name again, which allows its code to be executed."
        ),
    ] = None,
) -> None:
    """Write the trained encoder of pictures as timm has it: weights by timm's names, with a header that says what they are.

    The file can teach: `maskloom targets DATASET --teacher dino --set weights=FILE`.

    \b
    Example:
      maskloom export runs/mae encoder.safetensors
    """
    import torch

    from trainers.evaluate.evaluation import load_subject
    from trainers.export import ARCHITECTURE, export_encoder
    from trainers.run import RunFolder

    if out.suffix != ".safetensors":
        raise SettingsError(f"{out}: the file is one of safetensors; let its name end in .safetensors.")
    subject = load_subject(RunFolder(run), device=torch.device("cpu"), dtype=torch.float32, typed_recipe=recipe)
    exported = export_encoder(subject.network, subject.recipe.modalities)
    exported.write(out)
    sizes = ", ".join(f"{name}={value}" for name, value in exported.model_args.items())
    _say(f"{out} holds the encoder of step {subject.step} as timm's {ARCHITECTURE} with {sizes}.")


@app.command()
def recipes() -> None:
    """List the recipes that come with maskloom, with the stored targets that they read.

    Training without them says how to store them.

    Example: maskloom recipes
    """
    from trainers.registry import find_recipe, recipe_names, recipe_summary

    table = Table("Name", "Paper", "What it does")
    table.add_column("Reads stored", overflow="fold")
    for name in recipe_names():
        recipe = find_recipe(name)("base")
        table.add_row(name, recipe.paper, recipe_summary(name), "\n".join(recipe.stored_targets()))
    console.print(table)
