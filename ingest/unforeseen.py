"""The net under every decoder: what nobody foresaw costs one item."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.rejection import Rejection
from shards.errors import MaskloomError
from shards.schema import RejectReason


@contextmanager
def blamed_on_file(where: str) -> Iterator[None]:
    """Turn exceptions into the rejection of the file at `where`.

    Decoders fail on hostile bytes in ways that nobody lists. A fault of the machine stays what it is: MaskloomError, and
    MemoryError, which whoever limits memory judges.

    Raises:
        Rejection: In place of any other exception, and of a rejection that does not say where.
    """
    try:
        yield
    except Rejection as rejection:
        raise Rejection(rejection.reason, f"{where}: {rejection.detail}") from rejection
    except (MemoryError, MaskloomError):
        raise
    except Exception as error:
        raise Rejection(RejectReason.DECODER_FAILED, f"{where}: {type(error).__name__}: {error}") from error
