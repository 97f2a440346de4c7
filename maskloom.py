"""The command `maskloom`: the front door that composes the command groups of the four packages, and nothing else."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

import ingest.commands
import ingest.target_commands
import pipelines.commands
import pipelines.tokenizers.commands
import shards.commands
import trainers.commands
from shards.errors import MaskloomError

_ABOUT = """Raw images, video, audio, point clouds and captions to a pretrained encoder.

\b
  maskloom ingest SOURCE DATASET          raw files -> checked, shuffled shards
  maskloom inspect DATASET --html         look at what is in there
  maskloom targets DATASET --teacher hog  store what a teacher says about every view
  maskloom tokenizer DATASET --out FILE   learn a tokenizer from the captions
  maskloom train mae --data DATASET --out RUN
  maskloom eval RUN --data DATASET        kNN, linear probe, reconstructions, report
  maskloom bench stream DATASET           samples per second, and where the time goes

Every command explains itself: maskloom COMMAND --help.
"""

_RESUMABLE = frozenset({"import", "index", "ingest", "targets", "train"})
_KEPT = " What is finished is kept: the same command goes on from there."

app = typer.Typer(
    name="maskloom",
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for group in (
    ingest.commands,
    ingest.target_commands,
    shards.commands,
    pipelines.commands,
    pipelines.tokenizers.commands,
    trainers.commands,
):
    app.registered_commands += group.app.registered_commands
    app.registered_groups += group.app.registered_groups


def main() -> None:
    """Run the command line; a MaskloomError becomes its message and exit code 1, Ctrl-C exit code 130."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        app()
    except MaskloomError as error:
        console.print(f"maskloom: {error}")
        sys.exit(1)
    except SystemExit as ending:
        if _was_interrupted(ending):
            console.print(f"\nStopped.{_KEPT if _RESUMABLE.intersection(sys.argv[1:2]) else ''}")
        raise


def _was_interrupted(ending: SystemExit) -> bool:
    """Tell whether Typer made this exit out of a Ctrl-C that no command has answered itself."""
    return ending.__context__ is not None and isinstance(ending.__context__.__cause__, KeyboardInterrupt)


if __name__ == "__main__":
    main()
