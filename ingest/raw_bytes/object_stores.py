"""Files in object stores (s3, gs, az), through fsspec; credentials and endpoints are the user's, never the data's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec

from ingest.raw_bytes.fetch import Fetched
from ingest.raw_bytes.held import Holder
from ingest.rejection import Rejection
from ingest.sources.addresses import printable_uri, scheme_of
from shards.errors import SourceError
from shards.schema import RejectReason

_AT_ONCE = 16
_CHUNK = 1 << 20
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def object_store(scheme: str) -> Any:  # noqa: ANN401 - fsspec's file systems have no useful type
    """Return the file system of an object store.

    Raises:
        SourceError: The library for it is not installed.
    """
    try:
        return fsspec.filesystem(scheme)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'maskloom[{extra}]'" if extra else "pip install adlfs"
        raise SourceError(f"Addresses of the kind {scheme}:// need another library: {how}.") from error


def fetch_objects(urls: Sequence[str], limits: Mapping[str, int]) -> dict[str, Fetched]:
    """Fetch objects, some at a time, and return what became of each.

    Args:
        urls: Addresses of objects.
        limits: Most bytes of each, by address.

    Raises:
        SourceError: A library is missing, there are no credentials, or the folder for temporary files is full.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(urls, pool.map(lambda url: _fetch(url, limits[url]), urls), strict=True))


def _fetch(url: str, limit: int) -> Fetched:
    store = object_store(scheme_of(url) or "")
    path = url.partition("://")[2]
    shown = printable_uri(url)
    try:
        size = store.info(path)["size"]
        if size > limit:
            detail = f"{shown}: {size} bytes, the limit is {limit}"
            return Fetched(outcome=Rejection(RejectReason.TOO_MANY_BYTES, detail), connected=True)
        holder = Holder(shown, limit)
        with store.open(path, "rb", block_size=_CHUNK, cache_type="readahead") as file:
            while chunk := file.read(_CHUNK):
                holder.write(chunk)
        return Fetched(outcome=holder.raw(), connected=True)
    except Rejection as rejection:
        return Fetched(outcome=rejection, connected=True)
    except (MemoryError, SourceError):
        raise
    except (FileNotFoundError, IsADirectoryError):
        return Fetched(outcome=Rejection(RejectReason.MISSING_FILE, f"{shown} is not there"), connected=True)
    except PermissionError:
        return Fetched(outcome=Rejection(RejectReason.UNREADABLE_FILE, f"{shown} may not be read"), connected=True)
    except Exception as error:
        # The libraries of the stores have tried again by themselves; each raises exceptions of its own.
        if "credential" in type(error).__name__.lower():
            raise SourceError(
                f"{shown} cannot be read without credentials: {error}. Configure them as for any other program, or set "
                "FSSPEC_S3='{\"anon\": true}' for public buckets. Nothing was rejected for it."
            ) from error
        detail = f"{shown}: {type(error).__name__}"
        return Fetched(outcome=Rejection(RejectReason.FETCH_FAILED, detail), connected=not _is_network(error))


def _is_network(error: Exception) -> bool:
    return isinstance(error, OSError) or any(
        word in type(error).__name__ for word in ("Connect", "Timeout", "Endpoint", "DNS", "Network")
    )
