"""The command that learns a tokenizer, tokenizer."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from pipelines.tokenizers.captions import Reading
    from pipelines.tokenizers.learned import LearnedTokenizer
    from pipelines.tokenizers.learning import Learning
    from shards.dataset import Dataset

app = typer.Typer()
console = Console(soft_wrap=True, highlight=False, markup=False)
Result = TypeVar("Result")

_MEASURED = 10_000


@app.command()
def tokenizer(
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="Folder or address of a dataset, or of one split.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, as in captions.json.", show_default=False)],
    kind: Annotated[
        Literal["wordpiece", "bpe"],
        typer.Option(help="wordpiece: pieces of words, as in BERT and 4M; bpe: pairs of bytes, as in GPT-2."),
    ] = "wordpiece",
    vocabulary: Annotated[int, typer.Option(help="How many ids there should be, special ones included.", min=1)] = 8000,
    sentinels: Annotated[int, typer.Option(help="Tokens that stand for spans cut out; 4M has 200.", min=0)] = 0,
    keep_case: Annotated[
        bool, typer.Option("--keep-case", help="Tell upper-case letters from lower-case ones.")
    ] = False,
    field: Annotated[str, typer.Option(help="The field of captions; by default the only one of texts.")] = "",
    samples: Annotated[
        int | None, typer.Option(help="Read only so many samples, evenly spread over the dataset.", min=1)
    ] = None,
) -> None:
    """Learn a tokenizer from the captions of a dataset: every line of them, the same file every time.

    The file is one of the `tokenizers` library. Special ids are 0 padding, 1 unknown, 2 begin, 3 end, then the sentinels,
    then the mask. A stream takes it as Text(length=..., tokenizer=LearnedTokenizer(path="captions.json")).

    \b
    Examples:
      maskloom tokenizer data/photos:train --out captions.json
      maskloom tokenizer data/photos --kind bpe --vocabulary 16000 --keep-case --out pairs.json
      maskloom tokenizer s3://bucket/photos --vocabulary 30000 --sentinels 200 --out 4m.json
    """
    from pipelines.tokenizers.captions import text_field
    from pipelines.tokenizers.learned import LearnedTokenizer
    from pipelines.tokenizers.learning import Learning, learn
    from pipelines.tokenizers.splitting import Kind
    from shards.dataset import Dataset

    _require_absent(out)
    learning = Learning(kind=Kind(kind), vocabulary=vocabulary, sentinels=sentinels, is_lower_case=not keep_case)
    opened = Dataset.open(dataset)
    reading = _read(opened, text_field(opened, field), learning, samples=samples)
    with console.status(f"Learning {vocabulary:,} tokens from {len(reading.words):,} different words"):
        file = _interruptible(lambda: learn(reading.words, learning))
    _write(out, file)
    _print_learned(LearnedTokenizer(path=str(out)), learning, reading)


def _require_absent(out: Path) -> None:
    """Refuse to replace a file: something may have been trained with it."""
    from shards.errors import SettingsError

    if out.exists():
        raise SettingsError(
            f"{out} is there already, and a model may have been trained with it. Delete it, or write to another file."
        )
    if not out.parent.is_dir():
        raise SettingsError(f"{out} cannot be written: there is no folder {out.parent}. Make it first.")


def _read(dataset: Dataset, field: str, learning: Learning, *, samples: int | None) -> Reading:
    """Read captions and count their words."""
    from pipelines.tokenizers.captions import Reading, read_captions
    from pipelines.tokenizers.splitting import word_splitter
    from shards.schema import BLOCK

    reading = Reading(word_splitter(learning.kind, learning.is_lower_case), _MEASURED)
    wanted = min(samples or dataset.num_samples, dataset.num_samples)
    with Progress(console=console, transient=True) as progress:
        blocks = read_captions(dataset, field, samples=wanted)
        for captions in progress.track(blocks, total=-(-wanted // BLOCK), description="Reading captions"):
            reading.add(captions)
    return reading


def _interruptible(work: Callable[[], Result]) -> Result:
    """Return what `work` returns; Ctrl-C need not wait for the library, which does not listen while it learns."""
    results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(work())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    result = results.get()
    if isinstance(result, BaseException):
        raise result
    return result


def _write(path: Path, file: bytes) -> None:
    """Write a file in one step: a reader sees all of it or nothing."""
    from shards.storage import storage_errors

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_errors(path):
        try:
            temporary.write_bytes(file)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _print_learned(tokenizer: LearnedTokenizer, learning: Learning, reading: Reading) -> None:
    from pipelines.tokenizers.quality import measure_quality

    quality = measure_quality(tokenizer, reading.examples)
    short = (
        ""
        if tokenizer.vocabulary == learning.vocabulary
        else f", of {learning.vocabulary:,}: the captions have no more"
    )
    console.print(f"{tokenizer.path}: {tokenizer.vocabulary:,} tokens{short}")
    console.print(f"learned from: {reading.num_captions:,} captions with {len(reading.words):,} different words")
    console.print(f"special ids: {_special_ids(tokenizer)}")
    console.print(
        f"tokens of a caption: {quality.mean:.1f} on average, at most {quality.most_of_99} in 99 of 100, at most {quality.most}"
    )
    console.print(
        f"unknown tokens: {quality.unknown_share:.3%}; bytes of text to a token: {quality.bytes_per_token:.2f}; "
        f"used by {len(reading.examples):,} captions: {quality.used:,} tokens"
    )
    console.print(f"example: {reading.examples[0]}")
    console.print(f"         {' '.join(tokenizer.names(tokenizer.encode(reading.examples[0])))}")
    console.print(f"sha256: {tokenizer.sha256}")
    console.print(
        f'Use it: Text(length={quality.most_of_99}, tokenizer=LearnedTokenizer(path="{tokenizer.path}", '
        f"longest={quality.most_of_99}))"
    )


def _special_ids(tokenizer: LearnedTokenizer) -> str:
    sentinels = tokenizer.sentinel_ids
    names = {
        "padding": tokenizer.padding_id,
        "unknown": tokenizer.unknown_id,
        "begin": tokenizer.begin_id,
        "end": tokenizer.end_id,
        **({"sentinels": f"{sentinels[0]} to {sentinels[-1]}"} if sentinels else {}),
        "mask": tokenizer.mask_id,
    }
    return ", ".join(f"{name} {number}" for name, number in names.items())
