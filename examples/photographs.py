"""Write real pictures that need no download: the photographs inside scikit-image and the digits inside scikit-learn.

    python examples/photographs.py /tmp/pictures

makes OUT/photographs/<name>.jpg with <name>.txt, a caption, and OUT/digits/<digit>/<number>.png, 1797 small pictures
in a folder per class. Only files that ship in the two wheels are read. Licences: examples/README.md.
"""

import argparse
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

DIGIT_SIZE = 32  # pixels; the digits come as 8 x 8
JPEG_QUALITY = 95

# Only photographs whose licence scikit-image states, and which are in its wheel.
CAPTIONS: Mapping[str, str] = {
    "astronaut.png": "An astronaut in an orange suit smiles in front of a flag and a model of the space shuttle.",
    "brick.png": "A wall of narrow bricks with pale joints.",
    "camera.png": "A man in a dark coat looks through a camera on a tripod in a park.",
    "cell.png": "A bright round cell floats in saline under the microscope.",
    "chelsea.png": "A ginger cat with green eyes looks past the camera.",
    "clock_motion.png": "A wall clock, blurred sideways by a moving camera.",
    "coffee.png": "A cup of coffee on a red saucer with a spoon, on a wooden table.",
    "coins.png": "Four rows of ancient Greek coins on a dark cloth.",
    "grass.png": "Short dry grass and leaves seen from above.",
    "gravel.png": "A bed of grey gravel seen from above.",
    "hubble_deep_field.jpg": "Hundreds of small distant galaxies on a black sky.",
    "ihc.png": "Brown and blue stained glands in a slice of colon tissue under the microscope.",
    "microaneurysms.png": "Dark vessels and small spots on a patch of retina.",
    "retina.jpg": "The back of a human eye, orange, with branching vessels and a bright optic disc.",
    "rocket.jpg": "A white rocket stands between lattice masts on its launch pad at dusk.",
    "text.png": "Handwritten formulas on paper, seen at a slant.",
}


class PicturesError(Exception):
    """The pictures cannot be written; the message says why and what to do."""


def write_photographs(folder: Path) -> int:
    """Write every photograph as JPEG, grey ones in grey, with its caption; returns how many.

    JPEG files are copied byte for byte. Raises PicturesError when scikit-image or one of its files is missing.
    """
    source = _package_folder("skimage", "scikit-image") / "data"
    missing = [name for name in CAPTIONS if not (source / name).is_file()]
    if missing:
        raise PicturesError(
            f"this scikit-image has no {', '.join(missing)} in {source}: pip install -U maskloom[demo]."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, caption in CAPTIONS.items():
        picture = folder / f"{Path(name).stem}.jpg"
        if name.endswith(".jpg"):
            shutil.copyfile(source / name, picture)
        else:
            with Image.open(source / name) as pixels:
                pixels.save(picture, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
        picture.with_suffix(".txt").write_text(f"{caption}\n", encoding="utf-8")
    return len(CAPTIONS)


def write_digits(folder: Path) -> int:
    """Write the 1797 digits as grey PNGs, enlarged to 32 x 32, in a folder per digit; returns how many.

    Raises PicturesError when scikit-learn is missing.
    """
    _package_folder("sklearn", "scikit-learn")
    digits = importlib.import_module("sklearn.datasets").load_digits()  # a file of the wheel, not a download
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        picture = folder / str(digit) / f"{number:04d}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(pixels * (255 / 16)).astype(np.uint8)
        Image.fromarray(grey).resize((DIGIT_SIZE, DIGIT_SIZE), Image.Resampling.BICUBIC).save(picture)
    return len(digits.target)


def _package_folder(module: str, package: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise PicturesError(f"the pictures are inside {package}, which is not installed: pip install maskloom[demo].")
    return Path(found.origin).parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both folders, and say on stderr what is in them."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    command = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("out", type=Path, metavar="OUT", help="gets the folders photographs and digits")
    out: Path = command.parse_args(arguments).out
    try:
        print(f"{write_photographs(out / 'photographs')} photographs in {out / 'photographs'}", file=sys.stderr)
        print(f"{write_digits(out / 'digits')} digits in {out / 'digits'}", file=sys.stderr)
    except PicturesError as error:
        command.error(str(error))


if __name__ == "__main__":
    main()
