"""Arrays in .npy, .npz and IDX files: headers first, rows one by one, nothing ever unpickled."""

from __future__ import annotations

import errno
import gzip
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

_IDX_NAME = re.compile(r"[-.]idx\d+-ubyte(\.gz)?$")
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_DEFLATE_RATIO = 1100
_MAX_HEADER = 10_000
_MAX_AXES = 8
_KINDS = "biufUS"


class BadArrayError(ValueError):
    """An array cannot be read; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayHeader:
    """What the header of an array says.

    Args:
        shape: Its shape.
        dtype: Its type: numbers, booleans or fixed-length strings, never objects.
        start: Byte offset of the first value in the stream.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row: of everything that shares the first index."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def is_idx(path: Path) -> bool:
    """Tell whether a file is named like one of MNIST's (`train-images-idx3-ubyte.gz`)."""
    return _IDX_NAME.search(path.name) is not None


def members_of(path: Path) -> list[str]:
    """Return the arrays of an .npz file as members of the archive.

    Raises:
        BadArrayError: The file is damaged.
    """
    with _faults(path), zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name.endswith(".npy")]


@contextmanager
def open_array(path: Path, member: str) -> Iterator[tuple[ArrayHeader, IO[bytes]]]:
    """Open an array and check its header: the sizes it claims must be possible for the size of the file.

    Args:
        path: An .npy, .npz or IDX file.
        member: Member of an .npz file; empty for the others.

    Raises:
        BadArrayError: It is damaged, holds objects, claims more bytes than the file can hold, or is in Fortran order.
    """
    with _faults(path), _stream(path, member) as (stream, most_bytes):
        header = _idx_header(stream) if is_idx(path) else _npy_header(stream)
        if not header.shape or len(header.shape) > _MAX_AXES:
            raise BadArrayError(f"its shape is {header.shape}; an array of rows has 1 to {_MAX_AXES} axes")
        if header.start + header.shape[0] * header.row_bytes > most_bytes:
            raise BadArrayError(f"it claims {header.shape} values of {header.dtype}, more than the file can hold")
        yield header, stream


def read_rows(path: Path, member: str, rows: Iterable[int]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield rows of an array, in rising order, with their numbers; what is packed is unpacked once, piece by piece.

    Raises:
        BadArrayError: As `open_array`, or the file ends before the last of them.
    """
    with open_array(path, member) as (header, stream):
        for row in sorted(rows):
            if row >= header.shape[0]:
                raise BadArrayError(f"it has {header.shape[0]} rows, and row {row} was asked for")
            stream.seek(header.start + row * header.row_bytes)
            data = stream.read(header.row_bytes)
            if len(data) != header.row_bytes:
                raise BadArrayError(f"it ends inside row {row}")
            values = np.frombuffer(data, header.dtype).reshape(header.shape[1:])
            yield row, values.astype(header.dtype.newbyteorder("="), copy=False)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except BadArrayError as error:
        raise BadArrayError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError, KeyError) as error:
        raise BadArrayError(f"{path} is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise BadArrayError(f"{path} is damaged: a member lies outside of it") from error


@contextmanager
def _stream(path: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open the bytes of an array; the number is the most of them that there can be."""
    size = path.stat().st_size
    if member:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(member)
            if info.flag_bits & 1:
                raise BadArrayError(f"the array '{member}' is encrypted")
            with archive.open(info) as packed:
                yield packed, min(info.file_size, _DEFLATE_RATIO * max(info.compress_size, 1))
    elif path.suffix.lower() == ".gz":
        with gzip.open(path) as unpacked:
            yield cast(IO[bytes], unpacked), _DEFLATE_RATIO * size
    else:
        with path.open("rb") as file:
            yield file, size


def _idx_header(stream: IO[bytes]) -> ArrayHeader:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
        raise BadArrayError("it does not begin like an IDX file")
    sizes = stream.read(4 * magic[3])
    if len(sizes) != 4 * magic[3]:
        raise BadArrayError("it ends inside its header")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    return ArrayHeader(shape=shape, dtype=np.dtype(_IDX_TYPES[magic[2]]), start=4 + len(sizes))


def _npy_header(stream: IO[bytes]) -> ArrayHeader:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise BadArrayError(f"its format is of version {version}; 1.0 and 2.0 are read")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream, max_header_size=_MAX_HEADER)
    except BadArrayError:
        raise
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise BadArrayError(f"its header is damaged: {error}") from error
    if dtype.hasobject:
        raise BadArrayError("it holds Python objects, which would have to be unpickled: that can execute anything")
    if dtype.kind not in _KINDS or dtype.fields is not None or dtype.subdtype is not None:
        raise BadArrayError(f"it holds {dtype}; numbers, booleans and strings of fixed length are read")
    if is_fortran and len(shape) > 1:
        raise BadArrayError("it is stored column by column (Fortran order); save np.ascontiguousarray of it")
    if any(size < 0 for size in shape):
        raise BadArrayError(f"its shape is {shape}")
    return ArrayHeader(shape=shape, dtype=dtype, start=stream.tell())
