import numpy as np
import pytest

from ingest.points.lzf import decompress
from ingest.rejection import Rejection
from shards.schema import RejectReason
from tests.ingest.points import clouds
from tests.ingest.points.reading import PLACES, read, refused


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd_of_every_kind_gives_back_every_field(data: str) -> None:
    fields = {
        "x": PLACES[:, 0].astype(np.float64),
        "intensity": np.arange(50, dtype=np.uint16),
        "y": PLACES[:, 1],
        "z": PLACES[:, 2],
        "histogram": np.arange(100, dtype=np.int32).reshape(50, 2),
        "label": np.arange(50, dtype=np.uint8),
    }
    points, columns = read(clouds.pcd(fields, data=data), "a.pcd")
    assert columns == "x,y,z,intensity,classification,histogram_0,histogram_1"
    assert (points[:, :3] == PLACES).all()
    assert (points[:, 3:] == np.column_stack([np.arange(50), np.arange(50), fields["histogram"]])).all()


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("kind", ["<f4", "<u4", "<i4"])
def test_pcd_takes_packed_colours_apart(data: str, kind: str) -> None:
    packed = np.array([0x00FF0033] * 50, "<u4").view(kind)
    points, columns = read(clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)) | {"rgb": packed}, data=data), "a.pcd")
    assert columns == "x,y,z,red,green,blue"
    assert np.allclose(points[:, 3:], [1, 0, 0.2])


def test_pcd_padding_is_left_out_and_empty_cells_of_a_grid_are_dropped() -> None:
    places = PLACES.copy()
    places[::2] = np.nan
    data = clouds.pcd(
        {"x": places[:, 0], "y": places[:, 1], "z": places[:, 2], "_": np.zeros((50, 4), np.uint8)}, data="binary"
    )
    points, columns = read(data.replace(b"WIDTH 50\nHEIGHT 1\n", b"WIDTH 10\nHEIGHT 5\n"), "a.pcd")
    assert columns == "x,y,z"
    assert (points == PLACES[1::2]).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WIDTH 50", b"WIDTH 49"),
        (b"SIZE 4 4 4", b"SIZE 4 4"),
        (b"SIZE 4 4 4", b"SIZE 4 4 3"),
        (b"COUNT 1 1 1", b"COUNT 1 1 99999999999"),
        (b"DATA binary", b"DATA pickled"),
        (b"FIELDS x y z", b"FIELDS x y w"),
        (b"POINTS 50", b"POINTS fifty"),
    ],
)
def test_pcd_with_a_fault_in_its_header_is_refused(old: bytes, new: bytes) -> None:
    data = clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)), data="binary")
    assert old in data
    assert refused(data.replace(old, new), "a.pcd") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd_that_claims_more_than_it_holds_is_refused(data: str) -> None:
    file = clouds.pcd(dict(zip("xyz", PLACES.T, strict=True)), data=data)
    assert refused(file.replace(b" 50\n", b" 5000000\n"), "a.pcd") is RejectReason.CORRUPT_POINTS
    assert refused(file.replace(b" 50\n", b" 5000000000000\n"), "a.pcd") is RejectReason.TOO_MANY_POINTS
    assert refused(file[: len(file) - 30], "a.pcd") is RejectReason.CORRUPT_POINTS


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        (b"\x02abc", b"abc"),
        (b"\x00a\x20\x00", b"aaaa"),
        (b"\x02abc\x20\x02", b"abcabc"),
        (b"\x02abc\xe0\x03\x01", b"abc" + b"bc" * 6),
        (b"\x00a\xe0\xff\x00", b"a" * 265),
    ],
)
def test_lzf_repeats_even_what_it_is_writing(compressed: bytes, plain: bytes) -> None:
    assert decompress(compressed, len(plain)) == plain


@pytest.mark.parametrize(
    "compressed", [b"\x20\x00", b"\x02ab", b"\x02abc\x20", b"\x02abc\xe0", b"\x03abcd", b"\x00a\xe0\xff\x00"]
)
def test_damaged_lzf_is_refused(compressed: bytes) -> None:
    with pytest.raises(Rejection):
        decompress(compressed, 3)
