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
_LOCALLY_TRANSLATED = ipaddress.ip_network("64:ff9b:1::/48")
_IPV4_IN_LAST_BITS = [
    ipaddress.ip_network(network) for network in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
]
"""IPv6 addresses that stand for the IPv4 address in their last 32 bits and for nothing else: IPv4-compatible and mapped
ones, and those of translators (NAT64), whose local prefix is RFC 8215's."""
_OWN = ipaddress.ip_network("::/127")
"""Loopback and the unspecified address, which stand for no IPv4 address though they look like it."""
_RESERVED = [ipaddress.ip_network("192.0.0.0/24")]
"""What `is_global` leaves out in some versions of Python; a cloud keeps its credentials at 192.0.0.192."""
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
        "fec0::/10",
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
    if printable(url) != url:
        return "it holds characters that are no text"
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

    An IPv6 address that stands for an IPv4 address is judged by that one; where it is an address of its own as well (6to4,
    Teredo), by both.

    Args:
        address: As the resolver gives it, or as written in a URL; a zone (`%eth0`) is allowed.
        allow_private: Whether loopback and private addresses may be connected to.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address} is no IP address"
    if parsed in _LOCALLY_TRANSLATED and int(parsed) >> 32 & 0xFFFFFFFF:
        return f"{address} is an address of a translator that hides the IPv4 address elsewhere than in the last 32 bits"
    for judged in _judged(parsed):
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
    if any(address in network for network in _RESERVED):
        return "reserved"
    return None if address.is_global else "reserved"


def _judged(address: Address) -> list[Address]:
    """Return the addresses that an address is judged by: itself, or the IPv4 addresses that it stands for, or all of them."""
    if isinstance(address, ipaddress.IPv4Address) or address in _OWN:
        return [address]
    if any(address in network for network in _IPV4_IN_LAST_BITS):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address, *([address.sixtofour] if address.sixtofour else []), *(address.teredo or ())]
