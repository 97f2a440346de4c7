"""Files behind http(s) addresses, fetched many at a time and within limits; the network is trusted in nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from ingest.raw import Raw
from ingest.raw_bytes.held import Holder
from ingest.rejection import Rejection
from ingest.settings import FetchSettings
from ingest.sources.addresses import WEB, printable_uri, scheme_of, why_forbidden, why_refused
from shards.errors import MaskloomError
from shards.schema import RejectReason

_AT_ONCE = 32
_AT_ONCE_PER_HOST = 8
_CHUNK = 1 << 18
_WHOLE_FILE_FACTOR = 10
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_REASONS: Mapping[int, RejectReason] = {
    401: RejectReason.UNREADABLE_FILE,
    403: RejectReason.UNREADABLE_FILE,
    404: RejectReason.MISSING_FILE,
    410: RejectReason.MISSING_FILE,
}
_HEADERS = {"User-Agent": "maskloom", "Accept-Encoding": "identity", "Accept": "*/*"}


class ForbiddenAddressError(OSError):
    """A name stands for addresses that may not be connected to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of a fetch.

    Args:
        outcome: The bytes, or why there are none.
        connected: Whether anything answered at all.
    """

    outcome: Raw | Rejection
    connected: bool


def fetch_all(urls: Sequence[str], limits: Mapping[str, int], settings: FetchSettings) -> dict[str, Fetched]:
    """Fetch files, some dozens at a time, and return what became of each.

    Args:
        urls: Addresses of the schemes http and https.
        limits: Most bytes of each file, by address.
        settings: What may be connected to, and how long that may take.

    Raises:
        SourceError: The folder for temporary files is full.
    """
    return asyncio.run(_fetch_all(urls, limits, settings))


async def _fetch_all(urls: Sequence[str], limits: Mapping[str, int], settings: FetchSettings) -> dict[str, Fetched]:
    resolver = _CheckedResolver(allow_private=settings.allow_private_addresses)
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, limit=_AT_ONCE, limit_per_host=_AT_ONCE_PER_HOST
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.timeout_s, sock_read=settings.timeout_s)
    turns = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=_HEADERS,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        fetches = [_Fetch(session, url, limits[url], settings, turns) for url in urls]
        return dict(zip(urls, await asyncio.gather(*(fetch.run() for fetch in fetches)), strict=True))


class _CheckedResolver(AbstractResolver):
    """Resolves names to addresses that may be connected to; the connection is made to these and to no others."""

    def __init__(self, *, allow_private: bool) -> None:
        self._inner = ThreadedResolver()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        refused = [why_refused(entry["host"], allow_private=self._allow_private) for entry in found]
        allowed = [entry for entry, reason in zip(found, refused, strict=True) if reason is None]
        if not allowed:
            raise ForbiddenAddressError(
                f"{host} stands for {refused[0]}" if refused else f"{host} stands for no address"
            )
        return allowed

    async def close(self) -> None:
        await self._inner.close()


class _PassingFault(Exception):  # noqa: N818 - a reason to try again, not an error of the program
    """A fetch failed for a reason that may pass."""

    def __init__(self, detail: str, *, connected: bool, wait_s: float | None = None) -> None:
        super().__init__(detail)
        self.connected = connected
        self.wait_s = wait_s


@dataclass(slots=True)
class _Fetch:
    """One file."""

    session: aiohttp.ClientSession
    url: str
    limit: int
    settings: FetchSettings
    turns: asyncio.Semaphore
    connected: bool = field(default=False)

    async def run(self) -> Fetched:
        """Fetch it, trying again where that may help."""
        fault = _PassingFault("it was never tried", connected=False)
        for attempt in range(self.settings.retries + 1):
            try:
                async with self.turns, asyncio.timeout(self.settings.timeout_s * _WHOLE_FILE_FACTOR):
                    return Fetched(outcome=await self._once(), connected=True)
            except Rejection as rejection:
                return Fetched(outcome=rejection, connected=True)
            except _PassingFault as passing:
                fault = passing
            except TimeoutError:
                fault = _PassingFault("it took too long", connected=True)
            except (MemoryError, MaskloomError):
                raise
            except Exception as error:
                # Servers bring libraries to fail in ways that nobody lists; it costs this address alone.
                fault = _PassingFault(f"the fetch broke: {type(error).__name__}", connected=True)
            self.connected = self.connected or fault.connected
            if attempt < self.settings.retries:
                await asyncio.sleep(min(fault.wait_s or _FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S))
        detail = f"{printable_uri(self.url)}: {fault} ({self.settings.retries + 1} attempts)"
        return Fetched(outcome=Rejection(RejectReason.FETCH_FAILED, detail), connected=self.connected)

    async def _once(self) -> Raw:
        """Fetch it, following redirects of which every one is checked."""
        url = self.url
        for _ in range(self.settings.redirects + 1):
            self._require_allowed(url)
            async with self._get(url) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    target = _joined(url, response.headers["Location"])
                    if scheme_of(url) == "https" and scheme_of(target) == "http":
                        detail = f"{printable_uri(url)} leads to {printable_uri(target)}, which is not encrypted"
                        raise Rejection(RejectReason.FORBIDDEN_ADDRESS, detail)
                    url = target
                    continue
                self._require_success(response)
                return await self._body(response)
        raise Rejection(
            RejectReason.FORBIDDEN_ADDRESS, f"{printable_uri(self.url)}: more than {self.settings.redirects} redirects"
        )

    def _require_allowed(self, url: str) -> None:
        reason = why_forbidden(url)
        if reason is None and scheme_of(url) not in WEB:
            reason = f"a redirect to the scheme '{scheme_of(url)}:' is not followed"
        reason = reason or _why_literal_refused(url, allow_private=self.settings.allow_private_addresses)
        if reason is not None:
            raise Rejection(RejectReason.FORBIDDEN_ADDRESS, f"{printable_uri(url)}: {reason}")

    def _get(self, url: str) -> _Response:
        return _Response(self.session, url)

    def _require_success(self, response: aiohttp.ClientResponse) -> None:
        status, shown = response.status, printable_uri(str(response.url))
        if status in _PASSING:
            raise _PassingFault(f"the server answered {status}", connected=True, wait_s=_retry_after(response))
        if status != 200:
            reason = _REASONS.get(status, RejectReason.FETCH_FAILED)
            raise Rejection(reason, f"{shown}: the server answered {status}")
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise Rejection(RejectReason.FETCH_FAILED, f"{shown}: the server packed the file, which was not asked for")
        if (response.content_length or 0) > self.limit:
            detail = f"{shown}: {response.content_length} bytes, the limit is {self.limit}"
            raise Rejection(RejectReason.TOO_MANY_BYTES, detail)

    async def _body(self, response: aiohttp.ClientResponse) -> Raw:
        holder = Holder(printable_uri(self.url), self.limit)
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                holder.write(chunk)
        except (aiohttp.ClientError, OSError) as error:
            raise _PassingFault(f"the connection broke: {type(error).__name__}", connected=True) from error
        return holder.raw()


class _Response:
    """A response whose faults, until its headers are there, are named for what they are."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._url = url
        self._request = session.get(URL(url), allow_redirects=False)

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            return await self._request.__aenter__()
        except aiohttp.InvalidURL as error:
            raise Rejection(RejectReason.FORBIDDEN_ADDRESS, f"{printable_uri(self._url)} is no address") from error
        except (aiohttp.ClientError, OSError) as error:
            forbidden = _forbidden_in(error)
            if forbidden is not None:
                detail = f"{printable_uri(self._url)}: {forbidden}"
                raise Rejection(RejectReason.FORBIDDEN_ADDRESS, detail) from error
            never_connected = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise _PassingFault(_named(error), connected=not never_connected) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._request.__aexit__(kind, error, trace)


def _forbidden_in(error: BaseException | None) -> ForbiddenAddressError | None:
    """Return the refusal of an address that stands behind an error of the connector, if one does."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ForbiddenAddressError):
            return error
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return None


def _named(error: BaseException) -> str:
    """Say what went wrong without the address, which may carry credentials."""
    cause = getattr(error, "os_error", None)
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return f"no connection: {strerror or type(error).__name__}"


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        return target


def _why_literal_refused(url: str, *, allow_private: bool) -> str | None:
    """Return why an address that needs no resolver may not be connected to: the connector would not look at it."""
    try:
        parsed = URL(url)
        hosts = {parsed.host or "", parsed.raw_host or ""}
    except ValueError as error:
        return f"it is no address: {error}"
    literal = [host for host in hosts if ":" in host or host.replace(".", "").isdigit()]
    return next((reason for host in literal if (reason := why_refused(host, allow_private=allow_private))), None)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    said = response.headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 6 else None
