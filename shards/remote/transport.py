"""One request at a time: HTTP ranges, and whatever else fsspec has a file system for."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Coroutine
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import fsspec
from fsspec.asyn import sync

from shards.errors import Damage, DatasetError
from shards.remote.requests import FinalError, Range, ShortReplyError, TransientError

_PACKAGES = {"s3": "maskloom[s3]", "s3a": "maskloom[s3]", "gs": "maskloom[gcs]", "gcs": "maskloom[gcs]", "az": "adlfs"}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PASSING = frozenset({408, 425, 429})
"""Answers of the 400s that mean: not now."""


class Transport(Protocol):
    """Sends single requests for files of one dataset."""

    def fetch(self, path: str, wanted: Range, limit_s: float) -> bytes:
        """Return a file, or a range of it, within `limit_s` seconds.

        Raises:
            TransientError: It failed in a way that may pass.
            FinalError: It failed for good.
        """
        ...

    def folders(self, path: str) -> list[str] | None:
        """Return the names of the folders in a folder, or None if the server does not list."""
        ...


class FileSystemTransport:
    """Files of a file system of fsspec: object stores with the credentials of their libraries, and any other scheme.

    Args:
        url: The dataset.

    Raises:
        DatasetError: There is no such scheme, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = -1
        self._connect()

    def _connect(self) -> Any:  # noqa: ANN401 - a file system of any library
        """Return the file system of this process: connections and event loops do not survive a fork."""
        if self._pid != os.getpid():
            scheme = self._url.partition(":")[0]
            try:
                self._files, self._root = fsspec.core.url_to_fs(self._url)
            except (ImportError, ValueError) as error:
                hint = f" Install it with `pip install {_PACKAGES[scheme]}`." if scheme in _PACKAGES else ""
                raise DatasetError(f"{self._url} cannot be opened: {error}.{hint}") from error
            self._pid = os.getpid()
        return self._files

    def fetch(self, path: str, wanted: Range, limit_s: float) -> bytes:
        """Return a file, or a range of it, within `limit_s` seconds."""
        files = self._connect()
        start, stop = wanted or (None, None)
        place = f"{self._root}/{path}"
        try:
            if files.async_impl:
                data = _run(files, files._cat_file(place, start=start, end=stop), limit_s)
            else:
                data = files.cat_file(place, start=start, end=stop)
        except FileNotFoundError as error:
            raise FinalError("there is no such object", Damage.MISSING) from error
        except PermissionError as error:
            raise FinalError(f"access was refused: {error}", Damage.UNREACHABLE) from error
        except TransientError:
            raise
        except Exception as error:
            # Every file system has exceptions of its own; what is not known to be final may pass.
            what = f"the request failed: {type(error).__name__}: {error}"
            if isinstance(error, ValueError | TypeError | NotImplementedError) or _is_about_credentials(error):
                raise FinalError(what, Damage.UNREACHABLE) from error
            raise TransientError(what) from error
        return _complete(bytes(data), wanted)

    def folders(self, path: str) -> list[str] | None:
        """Return the names of the folders in a folder."""
        files = self._connect()
        files.invalidate_cache()  # targets may have been added
        try:
            found = files.ls(f"{self._root}/{path}", detail=True)
        except FileNotFoundError:
            return []
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory")


def _is_about_credentials(error: Exception) -> bool:
    """Tell whether a library has no valid credentials; none of them says so by a type that the others have."""
    return any(word in type(error).__name__ for word in ("Credential", "Authentication", "RefreshError"))


class HttpTransport:
    """Files of a web server that answers byte ranges; proxies are those of the environment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = -1

    def fetch(self, path: str, wanted: Range, limit_s: float) -> bytes:
        """Return a file, or a range of it, within `limit_s` seconds."""
        if self._pid != os.getpid():  # connections and event loops do not survive a fork
            self._files = fsspec.filesystem("http", client_kwargs={"trust_env": True}, skip_instance_cache=True)
            self._pid = os.getpid()
        try:
            return _run(self._files, _get(self._files, f"{self._url}/{quote(path)}", wanted), limit_s)
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(f"the connection failed: {type(error).__name__}: {error}") from error

    def folders(self, path: str) -> list[str] | None:
        """Return None: web servers have no common way to list."""
        return None


def _run(files: Any, request: Coroutine[Any, Any, bytes], limit_s: float) -> bytes:  # noqa: ANN401
    async def limited() -> bytes:
        try:
            return await asyncio.wait_for(request, limit_s)
        except TimeoutError as error:
            raise TransientError(f"no answer within {limit_s:g} s") from error

    answer: bytes = sync(files.loop, limited)
    return answer


async def _get(files: Any, url: str, wanted: Range) -> bytes:  # noqa: ANN401
    headers = {"Accept-Encoding": "identity"}
    if wanted is not None:
        headers["Range"] = f"bytes={wanted[0]}-{wanted[1] - 1}"
    session = await files.set_session()
    async with session.get(url, headers=headers) as response:
        _require_answer(response.status, response.reason or "", response.headers.get("Content-Range", ""), wanted)
        return _complete(await response.read(), wanted)


def _require_answer(status: int, reason: str, content_range: str, wanted: Range) -> None:
    """Raise the right error unless a response, of which only the head is read, will hold what was asked for."""
    said = f"the server said {status} {reason}".rstrip()
    if status in (404, 410):
        raise FinalError(f"there is no such file ({said})", Damage.MISSING)
    if status >= 500 or status in _PASSING:
        raise TransientError(said)
    if status == 416:
        raise FinalError(f"the file is shorter than that ({said})", Damage.TRUNCATED)
    if status != (200 if wanted is None else 206):
        ignored = "it ignores byte ranges and would send the whole file, so use another one: " if status == 200 else ""
        raise FinalError(f"{ignored}{said}", Damage.UNREACHABLE)
    if wanted is not None:
        _require_range(content_range, wanted)


def _require_range(content_range: str, wanted: tuple[int, int]) -> None:
    found = _CONTENT_RANGE.fullmatch(content_range)
    if found is None or int(found[1]) != wanted[0] or int(found[2]) >= wanted[1]:
        raise FinalError(f"the server sends another range ('{content_range}')", Damage.UNREACHABLE)
    if int(found[2]) + 1 < wanted[1]:
        raise FinalError(f"the file is shorter than that ('{content_range}')", Damage.TRUNCATED)


def _complete(data: bytes, wanted: Range) -> bytes:
    if wanted is not None and len(data) != wanted[1] - wanted[0]:
        raise ShortReplyError(f"{len(data)} of {wanted[1] - wanted[0]} bytes came")
    return data
