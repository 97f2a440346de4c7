"""Writing files so that a reader sees all of one or nothing: temporary files, fsync, rename, and create-if-absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash

from shards.errors import StorageError

TEMPORARY = "tmp"
_CHUNK = 1 << 22


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing below `path` into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(_explain(path, error)) from error


def _explain(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"No space left while writing {path}. What is finished is kept: free some space and run the same command."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Cannot write {path}: {error.strerror}. Choose a folder you may write to, or change its permissions."
    return f"Cannot write {path}: {error.strerror or error}."


def make_folder(path: Path) -> Path:
    """Create the folder `path` and its parents unless there, and return it.

    Raises:
        StorageError: The folder cannot be made.
    """
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def temporary_path(root: Path, stem: str) -> Path:
    """Return a fresh path under `root/tmp`, on the same file system as the final one; `gc` removes leftovers."""
    return make_folder(root / TEMPORARY) / f"{stem}.{uuid.uuid4().hex}"


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Move a finished, synced temporary file to its content-derived final name.

    Two writers of the same content may race: they write the same bytes, so the later rename changes nothing.
    """
    with storage_errors(final):
        make_folder(final.parent)
        temporary.replace(final)
        sync(final.parent)


def create_if_absent(root: Path, final: Path, data: bytes) -> bool:
    """Create `final` with `data` unless it exists; return whether this call created it.

    The link is the commit point: of any number of racing writers exactly one succeeds.

    Raises:
        StorageError: The file cannot be written.
    """
    with storage_errors(final):
        make_folder(final.parent)
        temporary = temporary_path(root, final.name)
        try:
            _write_synced(temporary, data)
            os.link(temporary, final)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        sync(final.parent)
        return True


def replace_file(root: Path, final: Path, data: bytes) -> None:
    """Write `data` to `final` in one step: a reader sees the old content or the new one, never a part.

    Raises:
        StorageError: The file cannot be written.
    """
    with storage_errors(final):
        temporary = temporary_path(root, final.name)
        _write_synced(temporary, data)
    publish(temporary, final)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Serialise `value` the same way every time: sorted keys, no NaN, two-space indent, final newline."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def printable(name: str) -> str:
    """Return a file name, which need not be UTF-8, as text that can be: what cannot be decoded becomes `?`."""
    return name.encode("utf-8", "replace").decode()


def bytes_digest(data: bytes) -> str:
    """Return `sha256:<hex>` of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def file_digest(path: Path, algorithm: str) -> str:
    """Return `<algorithm>:<hex>` of a file's content; algorithms are `sha256` and `xxh3_128`."""
    state = hashlib.sha256() if algorithm == "sha256" else xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return f"{algorithm}:{state.hexdigest()}"


def short_digest(digest: str) -> str:
    """Return the 12 hexadecimal characters of a digest that go into file names."""
    return digest.partition(":")[2][:12]
