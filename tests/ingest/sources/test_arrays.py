import gzip
import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ingest.settings import Limits
from shards.errors import SourceError
from tests.ingest.listing import contents, kinds, listed, opened, problems
from tests.ingest.pictures import Pixels

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 255, (5, 12, 10), np.uint8)
COLOUR = RANDOM.integers(0, 255, (5, 12, 10, 3), np.uint8)


def pixels_of(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)))


def array_of(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=False)


def idx(array: Any, *, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("pictures", [GREY, COLOUR, np.moveaxis(COLOUR, -1, 1), GREY[:, None]])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_8_bit_rows_become_pictures_with_the_same_pixels(tmp_path: Path, pictures: Any, save: Any) -> None:
    save(tmp_path / "t.npz", x=pictures, y=np.arange(5))
    source = opened(tmp_path / "t.npz")
    items = listed(source)
    assert [item.label for item in items.values()] == ["0", "1", "2", "3", "4"]
    expected = COLOUR if pictures.ndim == 4 and 3 in pictures.shape else GREY
    for row, found in enumerate(contents(source).values()):
        assert np.array_equal(pixels_of(found["image"]), expected[row])


def test_what_is_no_picture_becomes_a_raster_with_bands_last(tmp_path: Path) -> None:
    bands = RANDOM.normal(size=(4, 2, 16, 16)).astype(np.float32)
    packed = RANDOM.integers(0, 255, (4, 100), np.uint8)
    np.savez(tmp_path / "t.npz", bands=bands, bits=packed, few=packed[:, :5], mask=packed.reshape(4, 10, 10))
    source = opened(tmp_path / "t.npz")
    items = listed(source)
    assert kinds(items["t.npz#0"]) == {"bands": "raster", "bits": "raster", "mask": "ids"}
    assert items["t.npz#2"].columns == {"few": packed[2, :5].tolist()}
    for row, found in enumerate(contents(source).values()):
        assert np.array_equal(array_of(found["bands"]), np.moveaxis(bands[row], 0, -1))
        assert np.array_equal(array_of(found["bits"]), packed[row : row + 1])


def test_names_of_classes_captions_and_licences_come_from_arrays(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz",
        image=GREY,
        label=np.array([0, 1, 1, 0, 2]),
        classes=np.array(["ant", "bee"]),
        caption=np.array(["a", "b", "", "d", "e"]),
        licence=np.array(["CC0"] * 5),
        weight=np.linspace(0, 1, 5),
    )
    items = listed(opened(tmp_path / "t.npz"))
    assert [item.label for item in items.values()] == ["ant", "bee", "bee", "ant", "2"]
    assert items["t.npz#0"].licence == "CC0" and items["t.npz#4"].columns == {"weight": 1.0}
    assert kinds(items["t.npz#0"]) == {"image": "image", "text": "text"}
    assert kinds(items["t.npz#2"]) == {"image": "image"}


def test_columns_name_arrays_and_leave_other_media_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=GREY, b=GREY, c=np.arange(5), d=np.zeros((3, 2)))
    source = opened(tmp_path / "t.npz", columns=["depth=b", "label=c"])
    items = listed(source)
    assert kinds(items["t.npz#1"]) == {"depth": "raster"} and items["t.npz#1"].label == "1"
    assert source.ignored == {"array a": 1, "array d": 1}
    assert any("'a' is left out: --column names other arrays" in note for note in source.understanding.notes)
    with pytest.raises(SourceError, match="has only a, b, c, d"):
        opened(tmp_path / "t.npz", columns=["image=e"])
    with pytest.raises(SourceError, match=r"shape \(5, 12, 10\) cannot be the label"):
        opened(tmp_path / "t.npz", columns=["label=a"])
    with pytest.raises(SourceError, match=r"'a' cannot be the audio 'tts': arrays hold image, raster"):
        opened(tmp_path / "t.npz", columns=["tts:audio=a"])
    np.save(tmp_path / "f.npy", GREY.astype(np.float32))
    with pytest.raises(SourceError, match="no 8-bit picture"):
        opened(tmp_path / "f.npy", columns=["image:image=f"])
    assert kinds(listed(opened(tmp_path / "f.npy"))["f.npy#0"]) == {"f": "raster"}


def test_points_are_found_by_name(tmp_path: Path) -> None:
    clouds = RANDOM.normal(size=(3, 100, 3)).astype(np.float32)
    np.save(tmp_path / "points.npy", clouds)
    source = opened(tmp_path / "points.npy")
    assert kinds(listed(source)["points.npy#0"]) == {"points": "points"}
    assert np.array_equal(array_of(contents(source)["points.npy#2"]["points"]), clouds[2])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("prefix", ["", "train-"])
def test_files_of_images_and_labels_as_of_mnist_are_one_source(tmp_path: Path, packed: bool, prefix: str) -> None:
    ending = ".gz" if packed else ""
    pack = gzip.compress if packed else bytes
    images = tmp_path / f"{prefix}images-idx3-ubyte{ending}"
    images.write_bytes(pack(idx(GREY)))
    (tmp_path / f"{prefix}labels-idx1-ubyte{ending}").write_bytes(pack(idx(np.arange(5, dtype=np.uint8))))
    (tmp_path / "README.txt").write_text("about them")
    for place in (tmp_path, images):
        source = opened(place)
        items = listed(source)
        assert [item.label for item in items.values()] == ["0", "1", "2", "3", "4"]
        for row, found in enumerate(contents(source).values()):
            assert np.array_equal(pixels_of(found["image"]), GREY[row])


def test_sets_of_a_folder_keep_apart(tmp_path: Path) -> None:
    for prefix in ("train", "t10k"):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx(GREY))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(5, dtype=np.uint8)))
    source = opened(tmp_path)
    assert len(listed(source)) == 10
    assert any("files of t10k and train are ingested together" in note for note in source.understanding.notes)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([{"a": 1}, print], dtype=object))
    with pytest.raises(SourceError, match="would have to be unpickled"):
        opened(tmp_path / "t.npz")


def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64)})
    (tmp_path / "t.npy").write_bytes(header.getvalue() + bytes(100))
    (tmp_path / "t-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 64, 64) + bytes(100))
    )
    for name in ("t.npy", "t-images-idx3-ubyte.gz"):
        with pytest.raises(SourceError, match="more than the file can hold"):
            opened(tmp_path / name)


@pytest.mark.parametrize("kept", [0, 5, 40, 200])
def test_damaged_files_are_refused_by_name(tmp_path: Path, kept: int) -> None:
    np.savez(tmp_path / "t.npz", x=GREY)
    np.save(tmp_path / "t.npy", GREY)
    (tmp_path / "t-images-idx3-ubyte").write_bytes(idx(GREY))
    for name in ("t.npz", "t.npy", "t-images-idx3-ubyte"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(SourceError, match=name.replace(".", r"\.")):
            opened(path)


def test_fortran_order_and_structures_are_refused_with_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(GREY))
    np.save(tmp_path / "s.npy", np.zeros(3, dtype=[("a", "f4")]))
    with pytest.raises(SourceError, match=r"save np\.ascontiguousarray"):
        opened(tmp_path / "f.npy")
    with pytest.raises(SourceError, match="numbers, booleans and strings"):
        opened(tmp_path / "s.npy")


def test_a_bit_flipped_in_a_packed_array_rejects_and_does_not_stop(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=GREY)
    source = opened(tmp_path / "t.npz")
    items = listed(source)
    data = bytearray((tmp_path / "t.npz").read_bytes())
    data[300] ^= 16
    status = (tmp_path / "t.npz").stat()
    (tmp_path / "t.npz").write_bytes(bytes(data))
    os.utime(tmp_path / "t.npz", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert set(contents(source).values()) == {"unreadable_file"}
    assert len(items) == 5


def test_rows_over_the_limit_are_rejected(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", RANDOM.normal(size=(2, 40, 40)))
    assert set(contents(opened(tmp_path / "t.npy"), limits=Limits(raster_bytes=1000)).values()) == {"too_many_bytes"}


def keras(folder: Path, train: int = 5, test: int = 3) -> Path:
    arrays = {
        "x_train": GREY[:train],
        "y_train": np.arange(train),
        "x_test": GREY[:test],
        "y_test": np.arange(test) + 7,
    }
    np.savez(folder / "mnist.npz", **arrays)
    return folder / "mnist.npz"


@pytest.mark.parametrize("test", [3, 5])
def test_the_longer_half_of_a_keras_file_is_read_with_its_labels(tmp_path: Path, test: int) -> None:
    source = opened(keras(tmp_path, test=test))
    items = listed(source)
    assert [item.label for item in items.values()] == ["0", "1", "2", "3", "4"]
    assert {tuple(kinds(item).items()) for item in items.values()} == {(("image", "image"),)}
    assert sorted(source.ignored) == ["array x_test", "array y_test"]
    assert any("'x_test' is left out: only 'train' is read" in note for note in source.understanding.notes)


def test_the_other_half_is_read_when_it_is_named(tmp_path: Path) -> None:
    items = listed(opened(keras(tmp_path), columns=["image=x_test"]))
    assert [item.label for item in items.values()] == ["7", "8", "9"]
    with pytest.raises(SourceError, match="'y_train' was asked for as label, but only 'test' is read"):
        opened(keras(tmp_path), columns=["image=x_test", "label=y_train"])


def test_an_array_that_is_asked_for_is_never_left_out_in_silence(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=GREY, z=np.arange(5), y=np.arange(4))
    with pytest.raises(SourceError, match="'y' was asked for as label, but it has 4 rows"):
        opened(tmp_path / "t.npz", columns=["label=y"])


def test_an_array_of_splits_deals_its_rows(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=GREY[:3], split=np.array(["train", "val", "no good"]))
    source = opened(tmp_path / "t.npz")
    assert {item.split for item in listed(source).values()} == {""}
    assert any("--column split=split" in note for note in source.understanding.notes)
    items = listed(opened(tmp_path / "t.npz", columns=["split=split"]))
    assert [item.split for item in items.values()] == ["train", "val", ""]
    assert problems(items) == {"t.npz#2": "invalid_label"}
