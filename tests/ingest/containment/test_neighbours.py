"""What is loaded together is loaded once, and the item that suffers for a culprit is the culprit."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.containment.client import DecoderServer
from ingest.containment.order import Order
from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.settings import FetchSettings, IngestSettings, Limits
from shards.receipt import Receipt
from tests.ingest.containment.wary import CRASHING
from tests.ingest.listing import opened
from tests.ingest.pictures import jpeg

ITEM_SECONDS = 0.5
SLOW_S = 3 * ITEM_SECONDS + 0.3


class Handler(BaseHTTPRequestHandler):
    """Gives pictures, one of them slowly."""

    asked: Counter[str]

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if self.path == "/1.jpg":
            time.sleep(SLOW_S)
        data = jpeg(int(self.path[1]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Handler.asked = Counter()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def write(table: Path, dataset: Path, settings: IngestSettings) -> Receipt:
    """Write a shard whose last item crashes its decoder."""
    source = opened(table)
    commit_plan(dataset, make_plan(source.scan(), settings))
    server = DecoderServer(CRASHING)
    try:
        receipt: Receipt = server.do(Order(opener=CRASHING, dataset=dataset, number=0, source_root=source.root))
    finally:
        server.stop()
    return receipt


def test_a_slow_address_and_a_crash_cost_one_item_and_two_requests_for_each(web: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["image", *(f"{web}/{number}.jpg" for number in range(6))]))
    settings = IngestSettings(
        limits=Limits(item_seconds=ITEM_SECONDS), fetch=FetchSettings(allow_private_addresses=True, retries=0)
    )
    receipt = write(tmp_path / "t.csv", tmp_path / "out", settings)
    assert (receipt.samples, receipt.rejects) == (5, {"decoder_crash": 1})
    # Once for the process that crashed, once for all the processes of suspect mode together.
    assert Handler.asked == {f"/{number}.jpg": 2 for number in range(6)}


def padded(number: int, segments: int) -> bytes:
    """Return a picture with much to read and little to decode: comments follow its first two bytes."""
    picture = jpeg(number)
    return picture[:2] + (b"\xff\xfe\xff\xff" + bytes(65533)) * segments + picture[2:]


def test_cells_that_are_read_together_count_for_no_item(tmp_path: Path) -> None:
    cells = [padded(number, segments=384) for number in range(12)]
    table = pa.table({"image": pa.array(cells, pa.binary())})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd", use_dictionary=False)
    receipt = write(tmp_path / "t.parquet", tmp_path / "out", IngestSettings(limits=Limits(item_memory=256 << 20)))
    assert (receipt.samples, receipt.rejects) == (11, {"decoder_crash": 1})
