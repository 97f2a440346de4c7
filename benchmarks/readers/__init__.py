"""Readers of small pictures, maskloom and its peers, behind one interface: write once, read in shuffled batches, resume.

Every reader gets its own recommended loader without worker processes, batches of 32, and shuffling as it does it. What is
done with the samples of a batch is the same for all: `collate` gets (key, JPEG bytes) pairs. Datasets of peers are opened
once and kept, as a trainer would; maskloom is opened again for every epoch, so that it never profits from a warm index.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.readers.energon import Energon
from benchmarks.readers.grain import Grain
from benchmarks.readers.litdata import Litdata
from benchmarks.readers.maskloom import Maskloom, MaskloomKept
from benchmarks.readers.mosaicml import Mosaic
from benchmarks.readers.reader import Reader
from benchmarks.readers.webdataset import Webdataset

__all__ = ["PACKAGES", "READERS", "Kind", "Maskloom", "is_installed", "written_readers"]

Kind = type[Maskloom | MaskloomKept | Webdataset | Mosaic | Litdata | Energon | Grain]

READERS: Sequence[Kind] = (Maskloom, MaskloomKept, Webdataset, Mosaic, Litdata, Energon, Grain)
PACKAGES = ("webdataset", "mosaicml-streaming", "litdata", "megatron-energon", "grain", "array-record")


def written_readers(data: Path, pictures: Path, console: Console) -> list[Reader]:
    """Write the pictures of a folder in every format whose package is installed, and say which peer is left out."""
    readers: list[Reader] = []
    data.mkdir()
    for kind in READERS:
        missing = [module for module in kind.modules if not is_installed(module)]
        if missing:
            console.print(f"{kind.name} is left out: there is no module '{missing[0]}'.", highlight=False)
            continue
        reader = kind(data / kind.name.replace(" ", "-"))
        reader.write(pictures)
        readers.append(reader)
    return readers


def is_installed(module: str) -> bool:
    """Tell whether a module, and the package around it, can be found."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
