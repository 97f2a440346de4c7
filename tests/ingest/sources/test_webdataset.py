import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import SourceError
from shards.manifest import Manifest
from tests.ingest.listing import contents, kinds, listed, opened, problems
from tests.ingest.outcome import reasons, stored
from tests.ingest.pictures import encoded, jpeg, pixels, png

Run = Callable[..., Manifest]


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_members_that_share_a_key_are_one_sample(tmp_path: Path, run_ingest: Run) -> None:
    members = [
        ("a.jpg", jpeg(1)),
        ("a.txt", b"one"),
        ("a.cls", b"5"),
        ("a.json", b'{"n": 1}'),
        ("x/b.tif", encoded(pixels(2), "TIFF")),
    ]
    tar(tmp_path / "raw/0.tar", members)
    tar(tmp_path / "raw/1.tar", [("a.jpg", jpeg(3)), ("c.xml", b"unknown")])
    manifest = run_ingest(tmp_path / "raw", tmp_path / "out")
    samples = stored(tmp_path / "out")
    assert samples["0.tar#a"].fields == {"image": jpeg(1), "text": b"one", "label": b"5", "metadata": b'{"n": 1}'}
    assert samples["0.tar#x/b"].facts["image.format"] == "png"
    assert samples["1.tar#a"].fields["image"] == jpeg(3)
    assert manifest.ignored == {".xml": 1}


def test_a_single_tar_is_a_source(tmp_path: Path, run_ingest: Run) -> None:
    tar(tmp_path / "raw/0.tar", [("a.jpg", jpeg(1))])
    tar(tmp_path / "raw/1.tar", [("b.jpg", jpeg(2))])
    run_ingest(tmp_path / "raw/1.tar", tmp_path / "out")
    assert set(stored(tmp_path / "out")) == {"1.tar#b"}


def test_bad_members_reject_their_item_only(tmp_path: Path, run_ingest: Run) -> None:
    members = [("a.jpg", b"broken"), ("b.jpg", jpeg(1)), ("b.png", png(1)), ("c.jpg", jpeg(2)), ("c.cls", b"\xff")]
    members += [("d.jpg", jpeg(3)), ("d.json", b"[" * 100_000), ("e.jpg", jpeg(4)), ("a.txt", b"too late")]
    tar(tmp_path / "raw/0.tar", members)
    run_ingest(tmp_path / "raw", tmp_path / "out")
    assert set(stored(tmp_path / "out")) == {"0.tar#e"}
    assert reasons(tmp_path / "out") == {
        "0.tar#a": "duplicate_member",
        "0.tar#b": "ambiguous_fields",
        "0.tar#c": "invalid_label",
        "0.tar#d": "bad_text_encoding",
    }


@pytest.mark.parametrize("damage", ["cut off", "overwritten"])
def test_what_a_damaged_tar_has_lost_is_one_item(tmp_path: Path, damage: str) -> None:
    path = tar(tmp_path / "raw/0.tar", [("a.jpg", b"a" * 512), ("b.jpg", b"b" * 512), ("c.jpg", b"c" * 512)])
    tar(tmp_path / "raw/1.tar", [("a.jpg", b"good")])
    data = path.read_bytes()
    path.write_bytes(data[:1600] if damage == "cut off" else data[:1024] + b"x" * 512 + data[1536:])
    items = listed(opened(tmp_path / "raw"))
    assert list(items) == ["0.tar#a", "0.tar#(damaged)", "1.tar#a"]
    assert problems(items) == {"0.tar#(damaged)": "unreadable_file"}
    assert "0.tar" in items["0.tar#(damaged)"].problem[1]


def test_members_name_their_fields_and_sidecars_become_columns(tmp_path: Path) -> None:
    members = [("a.left.jpg", b"l"), ("a.right.jpg", b"r"), ("a.depth.png", b"d"), ("a.mp4", b"v"), ("a.flac", b"s")]
    members += [("a.json", b'{"n": 1, "caption": "c"}'), ("a.frame-00.jpg", b"f"), ("b.json", b"{}")]
    source = opened(tar(tmp_path / "t.tar", members))
    items = listed(source)
    assert kinds(items["t.tar#a"]) == {
        "text": "text",
        "left": "image",
        "right": "image",
        "depth": "raster",
        "video": "video",
        "audio": "audio",
    }
    assert items["t.tar#a"].columns == {"n": 1}
    assert contents(source)["t.tar#a"]["left"] == b"l"
    assert source.ignored[".frame-00.jpg"] == 1 and source.ignored[".json without a file beside it"] == 1


def test_rules_work_on_members(tmp_path: Path) -> None:
    source = opened(
        tar(tmp_path / "t.tar", [("1_rgb.jpg", b"i"), ("1_d.png", b"d")]), fields=["image=_rgb.jpg", "depth=_d.png"]
    )
    assert kinds(listed(source)["t.tar#1"]) == {"image": "image", "depth": "raster"}


@pytest.mark.parametrize("name", ["t.tar.gz", "t.tgz", "t.tar.zst", "T.TAR.GZ"])
def test_tars_that_are_packed_as_a_whole_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"packed as a whole.*Unpack it"):
        opened(tmp_path / name)
