from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.addresses import is_address, printable_uri, scheme_of, why_forbidden, why_refused


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file:/etc/passwd",
        "ftp://host/a.jpg",
        "pipe:cat /etc/passwd",
        "memory://a.jpg",
        "data:image/png;base64,AAAA",
        "gopher://host/a",
        "http://",
        "http:///a.jpg",
        "http://[::1/a.jpg",
        "s3://bucket/a.jpg::file:///etc/passwd",
        "simplecache::s3://bucket/a.jpg",
    ],
)
def test_addresses_that_must_never_be_opened_are_not(url: str) -> None:
    assert not is_address(url) or why_forbidden(url) is not None


@pytest.mark.parametrize(
    "url", ["http://host/a.jpg", "HTTPS://host:8443/a", "s3://bucket/a b.jpg", "gs://b/x", "az://c/x"]
)
def test_addresses_of_the_web_and_of_object_stores_may_be_fetched(url: str) -> None:
    assert is_address(url) and why_forbidden(url) is None


@pytest.mark.parametrize("path", ["a.jpg", "a:b.jpg", "C:\\a.jpg", "x/a.jpg", "httpx", "s3/a.jpg", "simplecache::x"])
def test_paths_are_no_addresses(path: str) -> None:
    assert scheme_of(path) is None


PRIVATE = ["127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fc00::1"]
PRIVATE += ["::ffff:127.0.0.1", "::ffff:10.0.0.1"]
NEVER = ["169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "240.0.0.1"]
NEVER += ["255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "no address", ""]
PUBLIC = ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]


def test_private_addresses_are_refused_unless_allowed_and_the_worst_always() -> None:
    for address in PRIVATE:
        assert why_refused(address, allow_private=False) is not None, address
        assert why_refused(address, allow_private=True) is None, address
    for address in NEVER:
        assert why_refused(address, allow_private=False) is not None, address
        assert why_refused(address, allow_private=True) is not None, address
    for address in PUBLIC:
        assert why_refused(address, allow_private=False) is None, address


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_clothes_is_judged_alike(address: object) -> None:
    plain = why_refused(str(address), allow_private=False)
    assert (why_refused(f"::ffff:{address}", allow_private=False) is None) == (plain is None)


def test_credentials_and_signatures_are_never_shown() -> None:
    shown = printable_uri("https://user:secret@host:80/a/b.jpg?X-Signature=secret#secret")
    assert shown == "https://host:80/a/b.jpg"
    assert printable_uri("s3://key:secret@bucket/a?b") == "s3://bucket/a"
    assert printable_uri("x/a?b@c.jpg") == "x/a?b@c.jpg"


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.192",
        "::ffff:192.0.0.192",
        "2002:c000:c0::1",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "::a9fe:a9fe",
        "::2",
    ],
)
def test_addresses_behind_which_clouds_keep_credentials_are_always_refused(address: str) -> None:
    assert why_refused(address, allow_private=False) is not None
    assert why_refused(address, allow_private=True) is not None


@pytest.mark.parametrize("address", ["::7f00:1", "::a00:1", "64:ff9b:1::a00:1", "fec0::1", "feff::1"])
def test_private_addresses_in_old_clothes_are_private(address: str) -> None:
    assert why_refused(address, allow_private=False) is not None
    assert why_refused(address, allow_private=True) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_behind_a_translator_is_judged_alike(address: IPv4Address) -> None:
    plain = why_refused(str(address), allow_private=False)
    for prefix in ("64:ff9b::", "64:ff9b:1::"):
        inside = str(IPv6Address(int(IPv6Address(prefix)) + int(address)))
        assert (why_refused(inside, allow_private=False) is None) == (plain is None)


def test_an_address_that_is_no_text_is_never_opened() -> None:
    assert why_forbidden("http://host/\ud800.jpg") is not None
