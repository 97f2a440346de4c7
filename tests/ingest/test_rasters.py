import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from ingest.rasters import store_raster
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, Limits
from ingest.stored import StoredField
from pipelines.transforms.raster import decode_raster
from shards.schema import KINDS
from tests.ingest.pictures import encoded, exif_of, jpeg, png

Values = npt.NDArray[Any]

PLAIN = IngestSettings()
DEPTH = (np.arange(30 * 40, dtype=np.uint32).reshape(30, 40) * 54).astype(np.uint16)
BANDS = np.random.default_rng(0).integers(0, 60_000, (30, 40, 5)).astype(np.uint16)
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def stored(data: bytes, kind: str = "raster", settings: IngestSettings = PLAIN) -> StoredField:
    (field,) = store_raster(Raw.of(data, name="depth.bin"), "depth", kind, settings)
    return field


def kept(data: bytes, kind: str = "raster") -> Values:
    """Return the values that a reader finds, after comparing them with the facts."""
    field = stored(data, kind)
    assert isinstance(field.data, bytes)
    values = decode_raster(field.data)
    height, width, channels = values.shape
    assert (field.name, field.kind) == ("depth", kind)
    assert dict(field.facts) == {"width": width, "height": height, "channels": channels, "dtype": values.dtype.name}
    assert set(field.facts) == set(KINDS[kind].facts)
    assert field.extension == ("npy" if field.data.startswith(b"\x93NUMPY") else "png")
    return values


def reason_of(data: bytes, kind: str = "raster", **limits: int) -> str:
    with pytest.raises(Rejection) as caught:
        stored(data, kind, IngestSettings(limits=Limits(**limits)))
    assert caught.value.detail
    return str(caught.value.reason.value)


def npy(values: Values, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def tiff(values: Values, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def made_png(values: Values, *, depth: int, colours: int, extra: bytes = b"") -> bytes:
    """Write a PNG of any depth and colours; rows of packed bits are given as bytes [height, bytes]."""
    height, width = values.shape[:2]
    width = width * 8 // depth if depth < 8 else width
    rows = values.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    body = b"".join(b"\x00" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", bytes(768 if colours == 3 else 0)),
        (b"IDAT", zlib.compress(body)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks if one[1] or one[0] == b"IEND") + extra


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def assert_kept(found: Values, wanted: Values) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", ["raster", "ids"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_png_is_kept_byte_for_byte(kind: str, dtype: type) -> None:
    data = encoded(Image.fromarray(DEPTH.astype(dtype)), "PNG")
    assert stored(data, kind).data == data
    assert_kept(kept(data, kind), DEPTH.astype(dtype)[..., None])


def test_sixteen_bits_of_colour_stay_sixteen_bits() -> None:
    assert_kept(kept(made_png(BANDS[..., :3], depth=16, colours=2)), BANDS[..., :3])
    assert_kept(kept(made_png(BANDS[..., :4], depth=16, colours=6)), BANDS[..., :4])
    assert_kept(kept(made_png(BANDS[..., :2], depth=16, colours=4)), BANDS[..., :2])


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_is_not_stretched(depth: int) -> None:
    packed = np.random.default_rng(depth).integers(0, 256, (6, 5), dtype=np.uint8)
    wanted = np.unpackbits(packed, axis=1).reshape(6, -1, depth) @ (1 << np.arange(depth)[::-1])
    assert_kept(kept(made_png(packed, depth=depth, colours=0), "ids"), wanted.astype(np.uint8)[..., None])


def test_a_palette_gives_ids_and_no_measured_numbers() -> None:
    ids = (DEPTH % 7).astype(np.uint8)
    picture = Image.fromarray(ids).convert("P")
    picture.putpalette([200, 10, 10] * 256)
    data = encoded(picture, "PNG")
    assert_kept(kept(data, "ids"), ids[..., None])
    assert reason_of(data) == "unsupported_pixels"


def test_what_a_png_tells_beside_its_values_is_left_out() -> None:
    secret = encoded(Image.fromarray(DEPTH), "PNG", exif=exif_of(1))
    assert b"SecretCamera" in secret
    data = stored(secret).data
    assert isinstance(data, bytes)
    assert b"SecretCamera" not in data
    assert_kept(kept(secret), DEPTH[..., None])
    assert stored(encoded(Image.fromarray(DEPTH), "PNG") + b"<script>").data == stored(secret).data


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i4", "<u4", "<i8", "<u8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("channels", [1, 5])
def test_a_tiff_of_any_numbers_keeps_them(dtype: str, channels: int) -> None:
    values = (BANDS[..., :channels] if channels > 1 else DEPTH[..., None]).astype(dtype)
    order = ">" if ">" in dtype else "<"
    found = kept(tiff(np.moveaxis(values, -1, 0).squeeze(), photometric="minisblack", byteorder=order))
    assert_kept(found, values.astype(values.dtype.newbyteorder("=")))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True},
    ],
)
def test_a_tiff_in_any_layout_keeps_its_values(options: dict[str, Any]) -> None:
    assert_kept(kept(tiff(BANDS, photometric="minisblack", planarconfig="contig", **options)), BANDS)
    planes = np.ascontiguousarray(np.moveaxis(BANDS, -1, 0))
    assert_kept(kept(tiff(planes, photometric="minisblack", planarconfig="separate", **options)), BANDS)


def test_the_pages_of_a_tiff_are_channels_and_its_overviews_are_not() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for band in range(5):
            writer.write(BANDS[..., band], metadata=None)
        writer.write(BANDS[::2, ::2, 0], subfiletype=1, metadata=None)
    assert_kept(kept(buffer.getvalue()), BANDS)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_lzw_and_packbits_are_read_where_values_stay_exact(compression: str, dtype: type) -> None:
    data = encoded(Image.fromarray(DEPTH.astype(dtype)), "TIFF", compression=compression)
    assert_kept(kept(data), DEPTH.astype(dtype)[..., None])


def test_a_compression_that_needs_more_libraries_is_named() -> None:
    picture = Image.fromarray(BANDS[..., :3].astype(np.uint8))
    with pytest.raises(Rejection, match=r"unsupported_format: TIFF with compression .*JPEG.* deflate"):
        stored(encoded(picture, "TIFF", compression="jpeg"))


def test_pages_that_differ_are_refused() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(DEPTH, metadata=None)
        writer.write(DEPTH[:20], metadata=None)
    assert reason_of(buffer.getvalue()) == "unsupported_pixels"


@given(arrays(st.sampled_from(["u1", "<u2", ">u2", "<i4", ">f4", "<f8", "?"]), array_shapes(min_dims=2, max_dims=2)))
def test_an_array_of_rows_and_columns_is_kept(values: Values) -> None:
    wanted = values.astype(np.uint8 if values.dtype == bool else values.dtype.newbyteorder("="))
    assert_kept(kept(npy(values)), wanted[..., None])


def test_the_last_axis_of_an_array_holds_its_channels() -> None:
    assert_kept(kept(npy(BANDS)), BANDS)
    assert_kept(kept(npy(np.asfortranarray(BANDS))), BANDS)
    with pytest.raises(
        Rejection, match=r"unsupported_pixels: .*5 rows and 40 channels; store its channels in the last axis"
    ):
        stored(npy(np.moveaxis(BANDS, -1, 0)))


def test_numbers_that_are_missing_stay_missing() -> None:
    values = DEPTH.astype(np.float32)
    values[3:9] = np.nan
    values[10] = np.inf
    assert_kept(kept(npy(values)), values[..., None])


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(5),
        np.zeros((2, 3, 4, 5)),
        np.zeros((0, 5)),
        np.zeros((4, 5), dtype=complex),
        np.zeros((4, 5), dtype="datetime64[s]"),
        np.zeros((4, 5), dtype="U3"),
        np.zeros((4, 5), dtype=[("x", "f4")]),
        np.zeros((4, 5), dtype=np.longdouble),
        np.array([[{}, []]], dtype=object),
    ],
)
def test_arrays_that_are_no_rasters_of_real_numbers_are_refused(values: Values) -> None:
    assert reason_of(npy(values, allow_pickle=True)) == "unsupported_pixels"


def test_pgm_and_ppm_are_not_stretched() -> None:
    ids = DEPTH % 1000
    pgm = b"P5\n# a comment\n40 30\n# another\n999\n" + ids.astype(">u2").tobytes()
    assert_kept(kept(pgm), ids[..., None])
    colours = (BANDS[..., :3] % 100).astype(np.uint8)
    assert_kept(kept(b"P6 40 30 99\n" + colours.tobytes()), colours)


@pytest.mark.parametrize(("dtype", "scale"), [("<f4", b"-1.0"), (">f4", b"1"), ("<f4", b"-0.25")])
def test_pfm_is_turned_the_right_way_up_and_not_multiplied(dtype: str, scale: bytes) -> None:
    values = DEPTH.astype(np.float32) / 7
    values[0, 0] = np.nan
    assert_kept(kept(b"Pf\n40 30\n" + scale + b"\n" + values[::-1].astype(dtype).tobytes()), values[..., None])
    colours = BANDS[..., :3].astype(np.float32)
    assert_kept(kept(b"PF\n40 30\n" + scale + b"\n" + colours[::-1].astype(dtype).tobytes()), colours)


def test_jpeg_is_good_enough_for_numbers_and_not_for_ids() -> None:
    assert kept(jpeg(1)).shape == (40, 48, 3)
    assert reason_of(jpeg(1), "ids") == "unsupported_format"
    assert reason_of(jpeg(1, exif=exif_of(6))) == "unsupported_pixels"


def test_ids_are_whole_numbers_that_can_be_counted() -> None:
    assert reason_of(npy(DEPTH.astype(np.float32)), "ids") == "unsupported_pixels"
    assert reason_of(npy(np.full((4, 4), 2**63, dtype=np.uint64)), "ids") == "unsupported_pixels"
    assert_kept(kept(npy(BANDS.astype(np.int32)), "ids"), BANDS.astype(np.int32))


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(DEPTH), "PNG"),
        npy(DEPTH),
        tiff(DEPTH),
        tiff(DEPTH, compression="zlib"),
        b"P5 40 30 65535\n" + DEPTH.astype(">u2").tobytes(),
        jpeg(3, width=40, height=30),
    ],
    ids=["png", "npy", "tiff", "deflated tiff", "pgm", "jpeg"],
)
def test_limits_hold_and_a_file_cut_off_anywhere_is_refused(data: bytes) -> None:
    assert reason_of(data, pixels=30 * 40 - 1) == "too_many_pixels"
    assert reason_of(data, raster_bytes=len(data) - 1) == "too_many_bytes"
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        assert reason_of(data[: int(len(data) * share)]) in (
            "corrupt_image",
            "corrupt_array",
            "unknown_format",
            "empty_file",
        )


def test_what_decodes_to_more_than_the_limit_is_refused_unseen() -> None:
    blank = np.zeros((2000, 1000), dtype=np.uint8)
    for data in (encoded(Image.fromarray(blank), "PNG"), tiff(blank, compression="zlib")):
        assert reason_of(data, raster_bytes=1_999_999) == "too_many_bytes"
    header = npy(DEPTH)[:128].replace(b"(30, 40)", b"(9999999999, 9999999999)").replace(b" " * 16, b"", 1)
    assert reason_of(header) == "too_many_pixels"


def test_a_tiff_strip_that_inflates_without_end_is_refused() -> None:
    data = bytearray(tiff(np.zeros((64, 64), np.uint8), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags = file.pages[0].tags
    bomb = zlib.compress(bytes(50_000_000))
    struct.pack_into("<I", data, tags["StripOffsets"].valueoffset, len(data))
    data[tags["StripByteCounts"].valueoffset : tags["StripByteCounts"].valueoffset + 2] = struct.pack(
        "<H", len(bomb) % 65536
    )
    assert reason_of(bytes(data) + bomb) == "corrupt_image"


@pytest.mark.parametrize("place", [20, 45, 60, 200])
def test_a_flipped_bit_in_a_png_is_noticed(place: int) -> None:
    data = bytearray(png(5))
    data[place] ^= 4
    assert reason_of(bytes(data)) == "corrupt_image"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"no raster at all", "unknown_format"),
        (b"GIF89a....", "unsupported_format"),
        (b"P2 2 2 9 1 2 3 4", "unsupported_format"),
        (b"PK\x03\x04....", "unsupported_format"),
        (b"P5 x 2 9 1", "corrupt_image"),
        (b"P5 2 2 70000\n12345678", "corrupt_image"),
        (b"Pf 2 2 0\n" + bytes(16), "corrupt_image"),
        (b"Pf 2 2 e\n" + bytes(16), "corrupt_image"),
        (b"\x93NUMPY\x09\x00....", "corrupt_array"),
        (b"\x93NUMPY\x01\x00\x08\x00{'a': 1}", "corrupt_array"),
        (b"II*\x00", "corrupt_image"),
        (b"MM\x00*" + bytes(40), "corrupt_image"),
    ],
)
def test_bytes_that_are_no_raster_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


@given(st.data())
def test_damage_raises_nothing_but_rejections(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([npy(DEPTH), tiff(DEPTH, compression="zlib"), png(1), b"P5 4 3 9\n" + bytes(12)]))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, min(300, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    try:
        field = stored(bytes(damaged), "ids")
    except Rejection as rejection:
        assert rejection.detail
        return
    assert isinstance(field.data, bytes)
    assert decode_raster(field.data).size > 0


def test_real_depth_and_segments_are_kept_as_they_are() -> None:
    scenes = SHARED / "rgbd_mosd"
    if not scenes.is_dir():
        pytest.skip(f"no real scenes at {scenes}")
    depth, segments = scenes / "learn0_depth_mm.png", scenes / "learn0_seg.png"
    assert stored(depth.read_bytes()).data == depth.read_bytes()
    assert kept(depth.read_bytes()).max() > 1000
    assert stored(segments.read_bytes(), "ids").data == segments.read_bytes()
