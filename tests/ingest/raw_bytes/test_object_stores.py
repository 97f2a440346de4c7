from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.errors import SourceError
from tests.ingest.listing import contents, kinds, listed, opened, raw_bytes
from tests.ingest.pictures import jpeg
from tests.object_stores import own_bucket

s3fs = pytest.importorskip("s3fs", reason="the extra 's3' is not installed")

OBJECTS = {
    "set/cat/1.jpg": jpeg(1),
    "set/cat/2.jpg": jpeg(2),
    "set/dog/1.jpg": jpeg(3),
    "set/dog/2.jpg": jpeg(4),
    "set/dog/2.txt": b"a caption",
    "set/dog/2.json": b'{"n": 1}',
    "set/notes.pdf": b"x",
    "set/.hidden.jpg": b"x",
    "other/9.jpg": jpeg(9),
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a store on this machine with some objects."""
    with own_bucket("bucket") as url:
        store = s3fs.S3FileSystem()
        for name, data in OBJECTS.items():
            store.pipe_file(f"bucket/{name}", data)
        yield url


def test_a_folder_of_a_bucket_is_a_source_like_any_folder(bucket: str) -> None:
    source = opened(f"{bucket}/set")
    items = listed(source)
    assert {name: item.label for name, item in items.items()} == {
        "cat/1": "cat",
        "cat/2": "cat",
        "dog/1": "dog",
        "dog/2": "dog",
    }
    assert kinds(items["dog/2"]) == {"image": "image", "text": "text"} and items["dog/2"].columns == {"n": 1}
    assert source.ignored == {".pdf": 1, "hidden file": 1}
    found = contents(source)
    assert found["cat/1"] == {"image": jpeg(1)} and found["dog/2"] == {"image": jpeg(4), "text": b"a caption"}


def test_rules_and_limits_work_on_objects(bucket: str) -> None:
    source = opened(f"{bucket}/set/", fields=["left=cat/*.jpg", "right=dog/*.jpg"])
    items = listed(source)
    assert set(items) == {"1", "2"} and kinds(items["1"]) == {"left": "image", "right": "image"}
    assert set(contents(opened(f"{bucket}/set"), limits=Limits(image_bytes=100)).values()) == {"too_many_bytes"}


def test_a_table_can_name_objects(bucket: str, tmp_path: Path) -> None:
    names = [f"{bucket}/set/cat/1.jpg", f"{bucket}/set/none.jpg", "s3://nobucket/x.jpg"]
    (tmp_path / "t.csv").write_text("\n".join(["image", *names]))
    assert contents(opened(tmp_path / "t.csv")) == {
        "t.csv#0": {"image": jpeg(1)},
        "t.csv#1": "missing_file",
        "t.csv#2": "missing_file",
    }


def test_objects_that_change_after_the_listing_reject_their_item(bucket: str) -> None:
    store = s3fs.S3FileSystem()
    store.pipe_file("bucket/changing/a.jpg", jpeg(1))
    source = opened(f"{bucket}/changing")
    items = listed(source)
    store.pipe_file("bucket/changing/a.jpg", jpeg(2) + b"longer")
    with pytest.raises(Rejection, match="changed_file"):
        raw_bytes(source, items).read(items["a"].parts[0])


@pytest.mark.parametrize("url", ["s3://bucket/nothing", "s3://no-such-bucket/x"])
def test_a_folder_without_objects_is_refused(bucket: str, url: str) -> None:
    with pytest.raises(SourceError, match=r"nothing at|cannot be listed"):
        opened(url)


@pytest.mark.parametrize(
    "url", ["https://host/folder", "file:///etc", "ftp://host/x", "memory://x", "s3://a/b::file:///etc"]
)
def test_folders_elsewhere_are_refused_with_what_to_do(url: str) -> None:
    with pytest.raises(SourceError, match="cannot be listed: folders are read from s3"):
        opened(url)
