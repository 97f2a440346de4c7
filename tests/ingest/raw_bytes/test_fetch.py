import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp.resolver
import pytest

from ingest.items import Part, RawItem
from ingest.plan import PlannedItem
from ingest.raw_bytes import RawBytes
from ingest.raw_bytes.fetch import fetch_all
from ingest.raw_bytes.held import MEMORY_BYTES
from ingest.rejection import Rejection
from ingest.settings import FetchSettings, Limits
from shards.errors import SourceError
from tests.ingest.listing import contents, listed, opened, problems
from tests.ingest.pictures import jpeg

LOCAL = FetchSettings(allow_private_addresses=True, timeout_s=0.5, retries=1, redirects=3)
STRICT = FetchSettings(timeout_s=0.5, retries=0)
LIMIT = 100_000
FULL_WIDTH = "".join(chr(0xFEE0 + ord(digit)) if digit.isdigit() else digit for digit in "127.0.0.1")


class Handler(BaseHTTPRequestHandler):
    """Behaves in every way that a server should not."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind, _, rest = self.path.lstrip("/").partition("/")
        getattr(self, f"answer_{kind.partition('?')[0].partition('.')[0]}")(rest)

    def body(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def answer_picture(self, rest: str) -> None:
        self.body(jpeg(1))

    def answer_status(self, rest: str) -> None:
        self.body(b"", int(rest))

    def answer_to(self, rest: str) -> None:
        self.body(b"", 302, Location=unquote(rest).replace("~", "/"))

    def answer_loop(self, rest: str) -> None:
        self.body(b"", 301, Location=f"/loop/{rest}x")

    def answer_third(self, rest: str) -> None:
        self.body(*((jpeg(1), 200) if self.asked.count(self.path) > 1 else (b"", 503)))

    def answer_endless(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(65536))
        except OSError:
            self.close_connection = True

    def answer_short(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(bytes(100))
        self.close_connection = True

    def answer_huge(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(10**12))
        self.end_headers()
        self.close_connection = True

    def answer_slow(self, rest: str) -> None:
        time.sleep(1.5)
        self.close_connection = True

    def answer_packed(self, rest: str) -> None:
        self.body(b"x" * 100, Content_Encoding="gzip")

    def answer_large(self, rest: str) -> None:
        self.body(bytes(MEMORY_BYTES) + b"end")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def outcome(url: str, settings: FetchSettings = LOCAL, limit: int = LIMIT) -> Any:
    """Return the bytes, or the rejection, of one address."""
    found = fetch_all([url], {url: limit}, settings)[url].outcome
    return found if isinstance(found, Rejection) else found.read()


def reason(url: str, settings: FetchSettings = LOCAL, limit: int = LIMIT) -> str:
    """Return the reason why an address gives nothing."""
    found = outcome(url, settings, limit)
    assert isinstance(found, Rejection), found
    return found.reason.value


def test_a_file_behind_an_address_is_fetched_with_redirects(server: str) -> None:
    assert outcome(f"{server}/picture") == jpeg(1)
    assert outcome(f"{server}/to/~picture") == jpeg(1)
    assert outcome(f"{server}/to/{server.replace('/', '~')}~picture.jpg") == jpeg(1)


@pytest.mark.parametrize(
    "status, expected",
    [
        (401, "unreadable_file"),
        (403, "unreadable_file"),
        (404, "missing_file"),
        (410, "missing_file"),
        (418, "fetch_failed"),
        (204, "fetch_failed"),
        (500, "fetch_failed"),
    ],
)
def test_what_the_server_says_decides_the_reason(server: str, status: int, expected: str) -> None:
    assert reason(f"{server}/status/{status}", FetchSettings(allow_private_addresses=True, retries=0)) == expected


def test_a_fault_that_passes_is_tried_again(server: str) -> None:
    assert outcome(f"{server}/third") == jpeg(1)


@pytest.mark.parametrize(
    "target",
    [
        "http:~~169.254.169.254~latest~meta-data",
        "http:~~[fe80::1]~x",
        "file:~~~etc~passwd",
        "ftp:~~host~x",
        "pipe:cat",
        "s3:~~bucket~x",
        "http:~~[::ffff:169.254.169.254]~x",
        "http:~~0.0.0.0~x",
        "http:~~",
        "http:~~host:port~x",
    ],
)
def test_a_redirect_to_where_nothing_may_be_fetched_is_not_followed(server: str, target: str) -> None:
    assert reason(f"{server}/to/{target}") == "forbidden_address"


def test_redirects_are_followed_only_so_often(server: str) -> None:
    assert reason(f"{server}/loop/") == "forbidden_address"
    assert len(Handler.asked) == LOCAL.redirects + 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", FULL_WIDTH])
def test_this_machine_is_not_fetched_from_unless_allowed(server: str, host: str) -> None:
    port = server.rpartition(":")[2]
    assert reason(f"http://{host}:{port}/picture", STRICT) in ("forbidden_address", "fetch_failed")
    assert reason(f"http://127.0.0.1:{port}/picture", STRICT) == "forbidden_address"
    assert Handler.asked == []


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is looked at and private when it is used never gets a second look."""
    answers = iter(["8.8.8.8", "127.0.0.1", "127.0.0.1"])
    port = int(server.rpartition(":")[2])
    connected: list[str] = []

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        return [
            {"hostname": host, "host": next(answers), "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        ]

    async def connect(*_: Any, addr_infos: Any, **__: Any) -> Any:
        connected.extend(info[4][0] for info in addr_infos)
        raise OSError(111, "Connection refused")

    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    assert reason(f"http://rebound.example:{port}/picture", STRICT) == "fetch_failed"
    assert connected == ["8.8.8.8"]
    assert reason(f"http://rebound.example:{port}/picture", STRICT) == "forbidden_address"
    assert connected == ["8.8.8.8"] and Handler.asked == []


def test_no_more_than_the_limit_is_read(server: str) -> None:
    assert reason(f"{server}/endless") == "too_many_bytes"
    assert reason(f"{server}/huge") == "too_many_bytes"
    assert reason(f"{server}/picture", limit=10) == "too_many_bytes"


def test_a_body_that_ends_early_is_never_taken_for_whole(server: str) -> None:
    assert reason(f"{server}/short") == "fetch_failed"


def test_a_server_that_keeps_silent_costs_its_time_only(server: str) -> None:
    started = time.monotonic()
    urls = [f"{server}/slow/{number}" for number in range(4)] + [f"{server}/picture"]
    found = fetch_all(urls, dict.fromkeys(urls, LIMIT), LOCAL)
    assert [isinstance(found[url].outcome, Rejection) for url in urls] == [True] * 4 + [False]
    assert time.monotonic() - started < 4


def test_a_packed_answer_is_refused(server: str) -> None:
    assert reason(f"{server}/packed") == "fetch_failed"


def test_a_large_file_is_held_outside_of_memory_and_can_be_searched(server: str) -> None:
    url = f"{server}/large"
    raw = fetch_all([url], {url: 2 * MEMORY_BYTES}, LOCAL)[url].outcome
    assert not isinstance(raw, Rejection) and raw.size == MEMORY_BYTES + 3
    with raw.open() as first, raw.open() as second:
        first.seek(-3, 2)
        assert first.read() == b"end" and second.read(3) == bytes(3)


def test_messages_never_hold_credentials(server: str) -> None:
    for url in (f"{server}/status/404?token=secret", server.replace("//", "//me:secret@") + "/status/500"):
        found = outcome(url, FetchSettings(allow_private_addresses=True, retries=0))
        assert "secret" not in str(found)


def test_a_name_that_stands_for_nothing_is_a_failed_fetch() -> None:
    assert reason("http://no-such-host.invalid/a.jpg", STRICT) == "fetch_failed"


def test_a_table_of_addresses_gives_their_bytes_and_reasons(server: str, tmp_path: Path) -> None:
    rows = [f"{server}/picture.jpg", f"{server}/status/404", "file:///etc/passwd", "http://127.0.0.1:9/a.jpg"]
    (tmp_path / "t.csv").write_text("\n".join(["image", *rows]))
    source = opened(tmp_path / "t.csv")
    assert problems(listed(source)) == {"t.csv#2": "forbidden_address"}
    assert contents(source, fetch=FetchSettings(retries=0)) == dict.fromkeys(
        ["t.csv#0", "t.csv#1", "t.csv#2", "t.csv#3"], "forbidden_address"
    )
    found = contents(source, fetch=FetchSettings(allow_private_addresses=True, timeout_s=0.2, retries=0))
    assert found["t.csv#0"] == {"image": jpeg(1)}
    assert (found["t.csv#1"], found["t.csv#3"]) == ("missing_file", "fetch_failed")


def unreachable(tmp_path: Path, urls: list[str]) -> tuple[RawBytes, list[Part]]:
    parts = [Part(field="image", kind="image", uri=url) for url in urls]
    planned = [PlannedItem(item=RawItem(identity=part.uri, parts=(part,)), shard=0, label=-1) for part in parts]
    settings = FetchSettings(allow_private_addresses=True, timeout_s=0.3, retries=0)
    return RawBytes(tmp_path, planned, Limits(), settings), parts


def test_a_network_that_is_down_rejects_nothing(tmp_path: Path) -> None:
    raw, parts = unreachable(tmp_path, [f"http://127.0.0.1:9/{number}.jpg" for number in range(20)])
    with pytest.raises(SourceError, match="the network seems to be down"):
        raw.read(parts[0])


def test_one_address_that_answers_shows_that_the_network_is_up(server: str, tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:9/{number}.jpg" for number in range(20)] + [f"{server}/picture.jpg"]
    raw, parts = unreachable(tmp_path, urls)
    with pytest.raises(Rejection, match="fetch_failed"):
        raw.read(parts[0])
    assert raw.read(parts[-1]) == jpeg(1)


def test_a_fault_that_nobody_foresaw_costs_its_address_alone(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = aiohttp.ClientSession.get

    def get(self: aiohttp.ClientSession, url: Any, **options: Any) -> Any:
        if "odd" in str(url):
            raise TypeError("odd")
        return original(self, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "get", get)
    urls = [f"{server}/odd", f"{server}/picture"]
    found = fetch_all(urls, dict.fromkeys(urls, LIMIT), FetchSettings(allow_private_addresses=True, retries=0))
    assert [isinstance(found[url].outcome, Rejection) for url in urls] == [True, False]
