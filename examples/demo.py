"""The whole road on sample data, or on a folder of your own: ingest, targets, training, evaluation, report.

    python examples/demo.py --out demo [--data /path/to/folder]

Every step is a command that is printed before it runs, so that it can be repeated by hand. Running the demo again goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).parent
IMAGE_SIZE, PATCH = 64, 8
NUM_SCENES = 1000
MODEL = (
    f"--size tiny --set modalities.image.size={IMAGE_SIZE} --set modalities.image.patch={PATCH} --set model.depth=6 "
    "--batch 64 --set training.base_lr=1e-3"
)


def run(command: str) -> None:
    """Print a command line of maskloom and run it; stop the demo if it fails."""
    print(f"\n$ {command}", flush=True)
    program, *arguments = shlex.split(command)
    start = [sys.executable] if program == "python" else [sys.executable, "-m", program]
    status = subprocess.run([*start, *arguments], check=False).returncode
    if status:
        sys.exit(status)


def make_sample_data(folder: Path) -> tuple[Path, Path]:
    """Make the small world and the photographs unless they are there; return their folders."""
    world, photographs = folder / "world", folder / "pictures"
    if not world.exists():
        run(f"python {EXAMPLES / 'world.py'} {world} --scenes {NUM_SCENES} --modalities image,text,label")
    if not photographs.exists():
        run(f"python {EXAMPLES / 'photographs.py'} {photographs}")
    return world, photographs


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description="The whole road, from a folder of pictures to a report.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where everything goes")
    parser.add_argument("--data", type=Path, help="a folder of your own pictures instead of the sample data")
    options = parser.parse_args()
    started = time.monotonic()
    out = options.out
    source = options.data
    if source is None:
        source, photographs = make_sample_data(out / "raw")
        run(f"maskloom ingest {photographs} {out / 'pictures'}")
        run(f"maskloom inspect {out / 'pictures'}")
    dataset, pixels, hog = out / "dataset", out / "mae", out / "maskfeat"
    run(f"maskloom ingest {shlex.quote(str(source))} {dataset} --image-size 96")
    run(f"maskloom inspect {dataset}")
    run(f"maskloom verify {dataset}")
    run(f"maskloom targets {dataset} --teacher hog --size {IMAGE_SIZE} --set patch={PATCH} --views 4")
    run(f"maskloom train mae --data {dataset} --out {pixels} {MODEL} --steps 500")
    run(f"maskloom eval {pixels} --data {dataset}")
    run(f"maskloom train maskfeat --data {dataset} --out {hog} {MODEL} --set targets.hog.source=stored --steps 200")
    run(f"maskloom eval {hog} --data {dataset}")
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes. Look at the reports, with pictures:")
    for folder in (pixels, hog):
        print(f"  {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    main()
