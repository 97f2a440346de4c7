"""Make a small world: scenes whose picture, words, label, depth, segmentation, points, sound and video agree.

    python examples/world.py /tmp/world --scenes 600
    python examples/world.py /tmp/world-av --scenes 200 --modalities image,text,label,audio,video --size 96

Every file comes from one description of the scene, so what one modality says about another has a known truth. The same
seed makes the same bytes. From Python: `from scenes import scene_for, render_image, sound, caption`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scenes import MODALITIES, WorldError, write_world

DEFAULT_MODALITIES = "image,text,label"


def _modalities(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in MODALITIES]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no modality {', '.join(map(repr, unknown))}; choose from {', '.join(MODALITIES)}"
        )
    return names


def _at_least(lowest: int, text: str) -> int:
    if not text.isdecimal() or int(text) < lowest:
        raise argparse.ArgumentTypeError(f"wants a whole number from {lowest} on, got {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    command = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder; gets <class>/<name>.<suffix>")
    command.add_argument("--scenes", type=lambda text: _at_least(1, text), default=600, help="how many (default 600)")
    command.add_argument(
        "--modalities",
        type=_modalities,
        default=_modalities(DEFAULT_MODALITIES),
        metavar="A,B,...",
        help=f"of {','.join(MODALITIES)} (default {DEFAULT_MODALITIES}; video needs: pip install av)",
    )
    command.add_argument("--seed", type=lambda text: _at_least(0, text), default=0, help="which world (default 0)")
    command.add_argument(
        "--size", type=lambda text: _at_least(16, text), default=96, help="side of the pictures in pixels (default 96)"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the world, with progress on stderr."""
    command = parser()
    asked = command.parse_args(arguments)
    started = time.monotonic()
    try:
        stems = write_world(
            asked.out, seed=asked.seed, scenes=asked.scenes, modalities=asked.modalities, size=asked.size
        )
        for done, _ in enumerate(stems, start=1):
            if done % 50 == 0 or done == asked.scenes:
                rate = done / (time.monotonic() - started)
                print(f"{done}/{asked.scenes} scenes, {rate:.1f} scenes/s", file=sys.stderr)
    except WorldError as error:
        command.error(str(error))
    print(f"{asked.scenes} scenes in {asked.out}: {', '.join(asked.modalities)}", file=sys.stderr)


if __name__ == "__main__":
    main()
