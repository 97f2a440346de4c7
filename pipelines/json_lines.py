"""Files that grow by one JSON object per line; a process may be killed, or the disk fill up, in the middle of a line."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shards.errors import MaskloomError
from shards.storage import storage_errors


class DamagedLinesError(MaskloomError):
    """A line that was written as a whole is not JSON any more."""


def complete_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every complete line with the offset of the byte after it; a missing file has none, a torn line is not one.

    Raises:
        DamagedLinesError: A line that ends as it should is not JSON.
    """
    if not path.is_file():
        return
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield end, _parsed(line, path, number)


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise DamagedLinesError(f"Line {number} of {path} is damaged: {error}. Remove that line to go on.") from error
    return record


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line, in place of a torn one if the file ends with that.

    Raises:
        StorageError: The file cannot be written.
    """
    with storage_errors(path):
        path.touch()
        os.truncate(path, max((end for end, _ in complete_lines(path)), default=0))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")
