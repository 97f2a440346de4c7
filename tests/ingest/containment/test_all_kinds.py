from pathlib import Path

from ingest.containment.client import DecoderServer
from ingest.containment.order import Order
from ingest.plan import make_plan
from ingest.plan_file import commit_plan
from ingest.settings import IngestSettings
from ingest.sources.detect import open_source
from shards.receipt import Receipt
from tests.ingest.containment.wary import NORMAL, WARY
from tests.ingest.media import SEEDS
from tests.ingest.pictures import write_files


def write(server: DecoderServer, opener: str, source: Path, dataset: Path) -> Receipt:
    commit_plan(dataset, make_plan(open_source(source).scan(), IngestSettings()))
    receipt: Receipt = server.do(Order(opener=opener, dataset=dataset, number=0, source_root=source))
    return receipt


def test_items_of_every_kind_are_the_same_bytes_in_suspect_mode(tmp_path: Path) -> None:
    files = {f"{number:02d}/{name}": make() for number, (name, make) in enumerate(SEEDS.items())}
    source = write_files(tmp_path / "source", files)
    server = DecoderServer(NORMAL, WARY)
    try:
        normal = write(server, NORMAL, source, tmp_path / "normal")
        suspect = write(server, WARY, source, tmp_path / "suspect")
    finally:
        server.stop()
    assert normal.samples >= 20
    assert suspect == normal
    for record in normal.files.values():
        assert (tmp_path / "suspect" / record.path).read_bytes() == (tmp_path / "normal" / record.path).read_bytes()
