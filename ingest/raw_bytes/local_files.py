"""Files below the source's root, opened so that neither a link, a pipe nor a fault of the machine passes for content."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.items import Part
from ingest.rejection import Rejection
from shards.errors import SourceError
from shards.schema import RejectReason
from shards.storage import printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MACHINE_FAULTS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ENODEV,
        errno.EHOSTDOWN,
    }
)
"""What the operating system says when it cannot read anything: no file is at fault, and none may be rejected."""


class LocalFiles:
    """Opens files below `root`.

    Args:
        root: Folder that all URIs are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, uri: str) -> Path:
        """Return where a file is."""
        return self._root / uri

    def require_root(self) -> None:
        """Check that the folder is there at all.

        Raises:
            SourceError: It is not.
        """
        if not self._root.is_dir():
            raise SourceError(
                f"The source folder {self._root} is not there. Mount it, or name where it is now, and run the same command: "
                "nothing was rejected for it."
            )

    @contextmanager
    def faults(self, uri: str) -> Iterator[None]:
        """Turn what the operating system says about a file into a rejection of it or, if it is not at fault, an error.

        Raises:
            Rejection: The file is missing or unreadable.
            SourceError: The machine cannot read anything at present.
        """
        name = printable(uri)
        try:
            yield
        except FileNotFoundError:
            self.require_root()
            raise Rejection(RejectReason.MISSING_FILE, f"{name} was listed but is gone") from None
        except OSError as error:
            self.require_root()
            if error.errno in _MACHINE_FAULTS:
                raise SourceError(
                    f"The source {self._root} cannot be read at present: {error.strerror}. Nothing was rejected for it; run "
                    "the same command again when it can."
                ) from error
            raise Rejection(RejectReason.UNREADABLE_FILE, f"{name}: {error.strerror or error}") from error

    def open(self, part: Part) -> int:
        """Return a descriptor of the file that holds a part, which the caller closes.

        Raises:
            Rejection: It is missing, unreadable, no regular file, or not the file that was listed.
            SourceError: The machine cannot read anything at present.
        """
        name = printable(part.uri)
        with self.faults(part.uri):
            descriptor = os.open(self.path(part.uri), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise Rejection(RejectReason.UNREADABLE_FILE, f"{name} is no regular file")
                if status.st_mtime_ns != part.modified_ns:
                    raise Rejection(RejectReason.CHANGED_FILE, f"{name} has changed since it was listed")
                if part.offset < 0 <= part.size != status.st_size:
                    detail = f"{name} had {part.size} bytes when listed, now {status.st_size}"
                    raise Rejection(RejectReason.CHANGED_FILE, detail)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor

    def range(self, part: Part, start: int, size: int) -> FileRange:
        """Open `size` bytes of the file that holds a part, from byte `start` on."""
        return FileRange(self.open(part), start, size, name=part.uri, faults=lambda: self.faults(part.uri))


class FileRange(io.RawIOBase):
    """Part of a file as a seekable file of its own.

    It reads by position, so that several may share one open file, and takes ownership of its descriptor.

    Args:
        descriptor: The open file.
        start: First byte.
        size: Number of bytes; fewer in the file mean that it has changed since it was listed.
        name: Name of the file, for people.
        faults: Judges what the operating system says while it is read.
    """

    def __init__(
        self,
        descriptor: int,
        start: int,
        size: int,
        *,
        name: str,
        faults: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._faults = faults
        self._descriptor = descriptor
        self._start = start
        self._size = size
        self._name = name
        self._place = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be searched."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another place and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"a place before the first byte of {self._name}: {base + offset}")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as one read goes and return the number of bytes."""
        target = memoryview(buffer).cast("B")
        wanted = min(len(target), max(self._size - self._place, 0))
        if wanted == 0:
            return 0
        with self._faults():
            count = os.preadv(self._descriptor, [target[:wanted]], self._start + self._place)
        if count == 0:
            detail = f"{printable(self._name)} ends {wanted} bytes earlier than when it was listed"
            raise Rejection(RejectReason.CHANGED_FILE, detail)
        self._place += count
        return count

    def readall(self) -> bytes:
        """Return all bytes from here on."""
        data = bytearray(max(self._size - self._place, 0))
        view, filled = memoryview(data), 0
        while filled < len(data):
            filled += self.readinto(view[filled:])
        return bytes(data)

    def close(self) -> None:
        """Close the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()
