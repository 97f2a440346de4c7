"""The pictures that are benchmarked: JPEGs as cameras and web sites make them, cut from the photographs in scikit-image.

    python -m benchmarks.photographs FOLDER --images 3000

Every picture is a crop of one of 19 photographs at about 500 x 375 pixels, mirrored now and then, with its own colours
and the noise of a sensor, at quality 90. Picture i is the same on every machine with the same Pillow.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png"),
    *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png"),
    *("motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg", "text.png"),
)
QUALITY = 90
_SEED = 20261120
_NOISE = (3.0, 9.0)  # standard deviation in grey levels


def write_photographs(folder: Path, count: int) -> list[Path]:
    """Write pictures 0 .. count-1 as `folder`/<number>.jpg, keeping those that are there, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(partial(_write, folder), missing, chunksize=16):
            pass
    return paths


def mean_kilobytes(paths: Sequence[Path]) -> float:
    """Return the mean size of files in thousands of bytes."""
    return sum(path.stat().st_size for path in paths) / len(paths) / 1e3


def _write(folder: Path, number: int) -> None:
    random = np.random.default_rng([_SEED, number])
    photograph = _photograph(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
    pixels = np.asarray(_crop(photograph, _size(random), random), dtype=np.float32)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    Image.fromarray(_developed(pixels, random)).save(folder / f"{number:06d}.jpg", quality=QUALITY)


@cache
def _photograph(name: str) -> Image.Image:
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise SystemExit("The pictures are inside scikit-image, which is not installed: pip install scikit-image.")
    with Image.open(Path(found.origin).parent / "data" / name) as picture:
        return picture.convert("RGB")


def _size(random: np.random.Generator) -> tuple[int, int]:
    """Return width and height: mostly 500 x 375, some upright, some of another shape."""
    draw = random.random()
    if draw < 0.6:
        return 500, 375
    if draw < 0.85:
        return 375, 500
    return 500, int(random.integers(320, 431))


def _crop(picture: Image.Image, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Cut a box of the wanted shape, 70 to 100 per cent of the largest, and bring it to the wanted size."""
    most = min(picture.width / size[0], picture.height / size[1])
    scale = most * random.uniform(0.7, 1.0)
    width, height = size[0] * scale, size[1] * scale
    left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
    return picture.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))


def _developed(pixels: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Change colours and brightness a little, and add noise."""
    gains = random.uniform(0.8, 1.15, size=3).astype(np.float32)
    noise = random.standard_normal(pixels.shape, dtype=np.float32) * np.float32(random.uniform(*_NOISE))
    return np.clip(np.rint(pixels * gains + noise), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the pictures and say how large they are."""
    command = argparse.ArgumentParser(description="Write the pictures that are benchmarked.")
    command.add_argument("folder", type=Path)
    command.add_argument("--images", type=int, default=1000)
    arguments = command.parse_args()
    paths = write_photographs(arguments.folder, arguments.images)
    print(f"{len(paths)} pictures, {mean_kilobytes(paths):.1f} kB on average")


if __name__ == "__main__":
    main()
