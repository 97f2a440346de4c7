"""Containers with damage anywhere are refused by name, or their items stored or rejected; nothing else ever comes out."""

import gzip
import io
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.errors import MaskloomError
from tests.ingest.listing import contents, opened
from tests.ingest.pictures import jpeg

GREY = np.random.default_rng(0).integers(0, 255, (5, 12, 10), np.uint8)
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", *GREY.shape) + GREY.tobytes()


def zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"a.jpg": jpeg(1), "a.cls": b"x", "a.json": b'{"n": 1}', "b.jpg": jpeg(2)}.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npz_file() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=GREY, y=np.arange(5), names=np.array(["a", "b"]))
    return buffer.getvalue()


def npy_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, GREY)
    return buffer.getvalue()


def parquet_file() -> bytes:
    buffer = io.BytesIO()
    rows = [{"image": {"bytes": jpeg(n), "path": None}, "text": "t", "label": n} for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


FILES = {
    "t.zip": zip_file(),
    "t.npz": npz_file(),
    "t.npy": npy_file(),
    "t-images-idx3-ubyte.gz": gzip.compress(IDX, mtime=0),
    "t-images-idx3-ubyte": IDX,
    "t.parquet": parquet_file(),
    "t.csv": b'image,text,label\na.jpg,"x, y",1\nb.jpg,z,2\n',
    "t.jsonl": b'{"image": "a.jpg", "captions": ["x"], "start": 1}\n{"video": "b.mp4"}\n',
}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_container_is_refused_or_its_items_are(name: str, data: st.DataObject) -> None:
    file = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(file)), st.integers(1, len(file))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(bytes(file[:kept]))
        try:
            found = contents(opened(path))
        except MaskloomError as error:
            assert str(error)
            return
    assert all(isinstance(content, str | dict) for content in found.values())
