"""Turn the digits of MNIST into clouds of points, extruded: one folder a class, as `maskloom ingest` reads them.

    python digit_clouds.py MNIST OUT [--points 512]

MNIST is a folder with images-idx3-ubyte.gz and labels-idx1-ubyte.gz. A point falls into a pixel with a chance that is
proportional to its brightness, anywhere within the pixel, and anywhere within a depth of 5 pixels (of 28). OUT/3/00017.npy is
digit number 17 of the file, a three: float32 [points, 3] of x to the right, y up and z, in pixels.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

DEPTH = 5.0
SEED = 0


def read_idx(path: Path) -> np.ndarray:
    """Return the bytes of an IDX file in their shape."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def cloud(picture: np.ndarray, points: int, draws: np.random.Generator) -> np.ndarray:
    """Draw points within the bright pixels of a picture."""
    brightness = picture.astype(np.float64).ravel()
    pixels = draws.choice(brightness.size, size=points, p=brightness / brightness.sum())
    row, column = np.divmod(pixels, picture.shape[1])
    inside = draws.random((points, 3))
    x, y, z = column + inside[:, 0], picture.shape[0] - row - inside[:, 1], DEPTH * inside[:, 2]
    return np.stack([x, y, z], axis=1).astype(np.float32)


def main() -> None:
    """Write one file for each digit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--points", type=int, default=512)
    arguments = parser.parse_args()
    pictures = read_idx(arguments.mnist / "images-idx3-ubyte.gz")
    labels = read_idx(arguments.mnist / "labels-idx1-ubyte.gz")
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = arguments.out / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        draws = np.random.default_rng([SEED, number])
        np.save(folder / f"{number:05}.npy", cloud(picture, arguments.points, draws))
    print(len(labels), "clouds;", np.bincount(labels).tolist(), "of the digits 0 to 9")


if __name__ == "__main__":
    main()
