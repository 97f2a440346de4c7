"""A web server of byte ranges on this machine that misbehaves as it is told, and counts what it is asked for."""

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class RangeServer:
    """Serves a folder. `mode` says how, for paths that `of` matches:

    healthy, slow (0.3 s late), busy (503 for the first `count` requests of each range), down (503 always), reset (the
    connection), ignores (ranges: 200 and the whole file), truncates (the body, with an honest length), cuts (the body, with
    a length that promises more), missing (404), stalls (never answers), flips (one bit of the first `count` answers).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mode, self.of, self.count = "healthy", "", 0
        self.asked: Counter[tuple[str, str]] = Counter()
        self.stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def misbehave(self, mode: str, of: str = "", count: int = 0) -> None:
        self.mode, self.of, self.count = mode, of, count
        self.asked.clear()

    def ranges(self, suffix: str) -> Counter[tuple[str, str]]:
        """How often every range of the files with this ending was asked for."""
        return Counter({key: count for key, count in self.asked.items() if key[0].endswith(suffix)})

    @contextmanager
    def running(self) -> Iterator["RangeServer"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: RangeServer

    def do_GET(self) -> None:
        key = self.path, self.headers.get("Range", "")
        self.owner.asked[key] += 1
        mode = self.owner.mode if re.search(self.owner.of, self.path) else "healthy"
        path = self.owner.folder / unquote(self.path).lstrip("/")
        if mode == "missing" or not path.is_file():
            return self.send_error(404)
        if mode == "down" or (mode == "busy" and self.owner.asked[key] <= self.owner.count):
            return self.send_error(503, "Slow Down")
        if mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        if mode == "stalls":
            self.close_connection = True
            self.owner.stop.wait()
            return None
        if mode == "slow":
            time.sleep(0.3)
        return self._send(path.read_bytes(), mode)

    def _send(self, content: bytes, mode: str) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = content
        if found and mode != "ignores":
            part = content[int(found[1]) : int(found[2]) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {found[1]}-{int(found[1]) + len(part) - 1}/{len(content)}")
        else:
            self.send_response(200)
        sent = part[: len(part) // 2] if mode in ("truncates", "cuts") else part
        if mode == "flips" and self.owner.asked[self.path, self.headers.get("Range", "")] <= self.owner.count:
            sent = bytes([*sent[:-700], sent[-700] ^ 1, *sent[-699:]])
        self.send_header("Content-Length", str(len(part if mode == "cuts" else sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = mode == "cuts"

    def log_message(self, *_: object) -> None:
        pass
