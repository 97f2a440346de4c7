"""The whole road on sample data, or on a folder of your own: ingest, targets, training, evaluation, report.

    python examples/demo.py --out demo [--data /path/to/folder]

Every step is a command that is printed before it runs, so that it can be repeated by hand. Running the demo again goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent
IMAGE_SIZE, PATCH = 64, 8
NUM_SCENES = 1000
SHAPE = ("--set", f"modalities.image.size={IMAGE_SIZE}", "--set", f"modalities.image.patch={PATCH}")
MODEL = ("--size", "tiny", *SHAPE, "--set", "model.depth=6", "--batch", 32, "--set", "training.base_lr=1e-3")


def run(*words: object) -> None:
    """Print a command line of maskloom or of python and run it; stop the demo if it fails."""
    program, *arguments = map(str, words)
    print(f"\n$ {shlex.join([program, *arguments])}", flush=True)
    start = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    status = subprocess.run([*start, *arguments], check=False).returncode
    if status:
        sys.exit(status)


def make_once(folder: Path, script: str, *options: object) -> Path:
    """Let a script of this folder write a folder, unless it is there; an interrupted writing is begun again."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        run("python", EXAMPLES / script, unfinished, *options)
        print(f"$ {shlex.join(['mv', str(unfinished), str(folder)])}", flush=True)
        unfinished.rename(folder)
    return folder


def sample_data(out: Path) -> Path:
    """Make the small world and the photographs, look at the photographs, and return the folder of the world."""
    world = make_once(out / "raw" / "world", "world.py", "--scenes", NUM_SCENES, "--modalities", "image,text,label")
    photographs = make_once(out / "raw" / "pictures", "photographs.py")
    run("maskloom", "ingest", photographs, out / "pictures")
    run("maskloom", "inspect", out / "pictures")
    return world


def learn(source: Path, out: Path) -> tuple[Path, Path]:
    """Take a folder of pictures all the way; return the folders of the two runs."""
    dataset, pixels, hog = out / "dataset", out / "mae", out / "maskfeat"
    decoder, stored = ("--set", "model.decoder.depth=1"), ("--set", "targets.hog.source=stored")
    run("maskloom", "ingest", source, dataset, "--image-size", 96)
    run("maskloom", "inspect", dataset)
    run("maskloom", "verify", dataset)
    run(
        "maskloom",
        "targets",
        dataset,
        "--teacher",
        "hog",
        "--size",
        IMAGE_SIZE,
        "--set",
        f"patch={PATCH}",
        "--views",
        4,
        "--scale",
        "0.5,1",  # what the recipe maskfeat crops
    )
    run("maskloom", "train", "mae", "--data", dataset, "--out", pixels, *MODEL, *decoder, "--steps", 900)
    run("maskloom", "eval", pixels, "--data", dataset)
    run("maskloom", "train", "maskfeat", "--data", dataset, "--out", hog, *MODEL, *stored, "--steps", 150)
    run("maskloom", "eval", hog, "--data", dataset)
    return pixels, hog


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description="The whole road, from a folder of pictures to a report.")
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="where everything goes; own data to OUT/own/NAME"
    )
    parser.add_argument("--data", type=Path, help="a folder of your own pictures instead of the sample data")
    options = parser.parse_args()
    started = time.monotonic()
    if options.data is None:
        reports = learn(sample_data(options.out), options.out)
    else:
        reports = learn(options.data, options.out / "own" / options.data.resolve().name)
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes. Look at the reports, with pictures:")
    for folder in reports:
        print(f"  {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
