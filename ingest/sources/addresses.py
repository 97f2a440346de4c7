"""Which network addresses may be fetched, and how they are shown: decided without touching the network."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from shards.storage import printable

WEB = ("http", "https")
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
SCHEMES = (*WEB, *OBJECT_STORES)
"""All that is ever opened by address; everything else (`file:`, `ftp:`, `pipe:`, `memory:`) is refused."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://|(pipe|file|data|memory|javascript):", re.IGNORECASE)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def scheme_of(text: str) -> str | None:
    """Return the scheme of an address in small letters, or None for what is no address but a path."""
    found = _SCHEME.match(text)
    return None if found is None else (found[1] or found[2]).lower()


def is_address(uri: str) -> bool:
    """Tell whether a part's URI is a network address rather than a path."""
    return scheme_of(uri) is not None


def why_forbidden(url: str) -> str | None:
    """Return why an address may not be fetched, as far as its text tells, or None."""
    scheme = scheme_of(url)
    if scheme not in SCHEMES:
        return f"addresses of the kind '{scheme}:' are never opened, only {', '.join(SCHEMES)}"
    if "::" in url.partition("://")[2].partition("/")[2] and scheme in OBJECT_STORES:
        return "chained addresses ('::') are never opened"
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        return f"it is no address: {error}"
    return None if host else "it names no host"


def printable_uri(uri: str) -> str:
    """Return a path or an address for people: without the credentials that an address may carry, and as UTF-8."""
    if not is_address(uri):
        return printable(uri)
    scheme, _, rest = uri.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return printable(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")


def why_refused(address: str, *, allow_private: bool) -> str | None:
    """Return why no connection is made to an IP address, or None if one may be.

    An IPv6 address that stands for an IPv4 address (mapped, 6to4, Teredo, NAT64) is judged by both.

    Args:
        address: As the resolver gives it, or as written in a URL; a zone (`%eth0`) is allowed.
        allow_private: Whether loopback and private addresses may be connected to.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address} is no IP address"
    for judged in ((parsed,) if parsed not in _MAPPED else ()) + tuple(_embedded(parsed)):
        reason = _why_refused(judged, allow_private=allow_private)
        if reason is not None:
            return f"{address} is {reason}"
    return None


def _why_refused(address: Address, *, allow_private: bool) -> str | None:
    if address.is_link_local:
        return "an address of the machine's own link"
    if address.is_multicast or address.is_unspecified:
        return "no address of one machine"
    if any(address in network for network in _PRIVATE):
        return None if allow_private else "loopback or private"
    return None if address.is_global else "reserved"


def _embedded(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address] = [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
    found += list(address.teredo or ())
    if address in _TRANSLATED:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found
