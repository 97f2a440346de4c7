"""The collection of corrupt and odd files of others, where it is there."""

from pathlib import Path
from typing import Any

import pytest

HOSTILE = Path(__file__).parents[2].parent / "shared" / "data" / "hostile"


def hostile_files(kind: str) -> list[Any]:
    """Return every odd file of a kind as a parameter of a test, or one that skips it and says why."""
    folder = HOSTILE / kind
    if not folder.is_dir():
        absent = pytest.mark.skip(reason=f"the collection of odd files {folder} is not there")
        return [pytest.param(folder, marks=absent)]
    names = {path: path.name[:24].encode("ascii", "replace").decode() for path in sorted(folder.iterdir())}
    return [pytest.param(path, id=f"{number:02d}-{name}") for number, (path, name) in enumerate(names.items())]
