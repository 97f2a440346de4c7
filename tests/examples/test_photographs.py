import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

PATH = Path(__file__).parents[2] / "examples" / "photographs.py"


@pytest.fixture(scope="module")
def photographs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("photographs", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_photograph_is_a_jpeg_with_a_caption_and_greys_stay_grey(photographs: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    count = photographs.write_photographs(tmp_path)
    pictures = sorted(tmp_path.glob("*.jpg"))
    assert len(pictures) == count == len(photographs.CAPTIONS) == 16
    modes = {}
    for picture in pictures:
        with Image.open(picture) as pixels:
            pixels.load()
            assert pixels.format == "JPEG"
            assert min(pixels.size) >= 100
            modes[picture.stem] = pixels.mode
        assert picture.with_suffix(".txt").read_text(encoding="utf-8").strip().endswith(".")
    assert (modes["chelsea"], modes["camera"]) == ("RGB", "L")


def test_photographs_that_are_jpegs_are_copied_byte_for_byte(photographs: ModuleType, tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage")
    photographs.write_photographs(tmp_path)
    source = Path(skimage.__file__).parent / "data" / "rocket.jpg"
    assert (tmp_path / "rocket.jpg").read_bytes() == source.read_bytes()


def test_digits_are_in_the_folder_of_their_class(photographs: ModuleType, tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    assert photographs.write_digits(tmp_path) == 1797
    digits = datasets.load_digits()
    found = Counter(picture.parent.name for picture in tmp_path.rglob("*.png"))
    assert found == Counter(str(digit) for digit in digits.target)
    with Image.open(tmp_path / str(digits.target[5]) / "0005.png") as picture:
        pixels = np.array(picture, dtype=float)
    assert pixels.shape == (32, 32)
    small = pixels.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), digits.images[5].ravel())[0, 1] > 0.97


def test_no_network_is_asked_for(photographs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    photographs.main([str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"photographs", "digits"}


def test_a_missing_package_is_named_with_what_to_install(
    photographs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for write in (photographs.write_photographs, photographs.write_digits):
        with pytest.raises(photographs.PicturesError, match=r"pip install maskloom\[demo\]"):
            write(tmp_path)
    monkeypatch.setattr(sys, "argv", ["photographs.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        photographs.main()
    assert "not installed" in capsys.readouterr().err
