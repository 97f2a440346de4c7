"""Datasets in object stores and other file systems, and how their addresses are understood."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import CorruptShardError, DatasetError, MissingDatasetError, MissingTargetError, SettingsError
from shards.garbage import find_garbage
from shards.location import RemoteRoot, locate_dataset
from shards.remote.access import Access
from shards.verify import verify
from tests.object_stores import own_bucket
from tests.shards.remote.test_http import ALL, FIELDS, impatient, shuffled_batches, with_targets
from tests.shards.test_target_table import spec_of

s3fs = pytest.importorskip("s3fs", reason="the extra 's3' is not installed")


@pytest.fixture
def bucket() -> Iterator[str]:
    with own_bucket("datasets") as url:
        yield url


@pytest.fixture
def memory() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def upload(root: Path, url: str) -> None:
    files, place = fsspec.core.url_to_fs(url)
    for path in root.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{place}/{path.relative_to(root).as_posix()}", path.read_bytes())


@pytest.mark.parametrize("kind", ["bucket", "memory"])
def test_samples_and_targets_are_those_of_the_folder(
    kind: str, request: pytest.FixtureRequest, access: Access, dataset_root: Path
) -> None:
    with_targets(dataset_root)
    url = f"{request.getfixturevalue(kind)}/sets/photos"
    upload(dataset_root, url)
    remote, local = Dataset.open(url, access=access), Dataset.open(dataset_root)
    table, expected = remote.target("tokens"), local.target("tokens")
    for ids in shuffled_batches():
        assert remote.read(ids, FIELDS) == local.read(ids, FIELDS)
        assert np.array_equal(table.read(ids, ids % 2), expected.read(ids, ids % 2))
    assert remote.target_ids() == [spec_of("uint16").target_id]
    with pytest.raises(MissingTargetError, match=r"Did you mean 'tokens'\?"):
        remote.target("tokns")
    with pytest.raises(MissingDatasetError, match="holds no dataset"):
        Dataset.open(f"{url}/nothing", access=access)


def test_a_cache_that_is_smaller_than_a_block_still_reads(memory: str, access: Access, dataset_root: Path) -> None:
    upload(dataset_root, memory)
    tiny = Access(cache=access.cache, cache_bytes=100, patience=access.patience)
    assert Dataset.open(memory, access=tiny).read(ALL, FIELDS) == Dataset.open(dataset_root).read(ALL, FIELDS)
    assert not [path for path in access.cache.rglob("blocks/*/*") if path.is_file()]


def test_a_dataset_is_never_written_to(memory: str, access: Access, dataset_root: Path) -> None:
    upload(dataset_root, memory)
    files = fsspec.filesystem("memory")
    before = {path: files.modified(path) for path in files.find("/bucket")}
    Dataset.open(memory, access=access).read(ALL, FIELDS)
    assert {path: files.modified(path) for path in files.find("/bucket")} == before


def test_a_local_dataset_is_never_copied(dataset_root: Path, access: Access) -> None:
    Dataset.open(dataset_root, access=access).read(ALL, FIELDS)
    Dataset.open(dataset_root.as_uri(), access=access).read(ALL, FIELDS)
    assert not access.cache.exists()


def test_commands_that_need_a_folder_say_so(memory: str, access: Access, dataset_root: Path) -> None:
    upload(dataset_root, memory)
    with pytest.raises(DatasetError, match=r"memory://bucket is not on this machine; verifying needs a folder here"):
        verify(Dataset.open(memory, access=access))
    for command in (adopt, lambda root: find_garbage(root, older_than_s=0)):
        with pytest.raises(DatasetError, match="is not on this machine"):
            command(Path("s3://bucket/photos"))


@pytest.mark.parametrize(
    ("location", "url", "split"),
    [
        ("s3://bucket/photos", "s3://bucket/photos", ""),
        ("s3://bucket/photos/:val", "s3://bucket/photos/:val", ""),
        ("s3://bucket/a:b/photos:val", "s3://bucket/a:b/photos", "val"),
        ("s3://bucket:val", "s3://bucket", "val"),
        ("http://host:8080", "http://host:8080", ""),
        ("http://host:8080/photos", "http://host:8080/photos", ""),
        ("http://host:8080/photos:val/", "http://host:8080/photos", "val"),
        ("HTTPS://host/photos", "https://host/photos", ""),
        (Path("s3://bucket/photos:val"), "s3://bucket/photos", "val"),
    ],
)
def test_colons_of_addresses_and_of_splits_are_told_apart(
    location: str | Path, url: str, split: str, access: Access
) -> None:
    assert locate_dataset(location, access) == (RemoteRoot(url, access), split)


@pytest.mark.parametrize("location", ["http://host/x?key=1", "zip://a::s3://b/c.zip", "s3://b/c#d"])
def test_addresses_of_other_things_are_refused(location: str, access: Access) -> None:
    with pytest.raises(DatasetError, match="Give the address of the folder"):
        locate_dataset(location, access)


def test_missing_credentials_are_said_at_once(access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(CorruptShardError, match=r"NoCredentialsError.*\. Check the address.*credentials") as caught:
        Dataset.open("s3://bucket/photos", access=access)
    assert caught.value.kind == "unreachable" and "Tries" not in str(caught.value)


def test_an_unknown_scheme_and_a_missing_package_are_explained(access: Access) -> None:
    with pytest.raises(DatasetError, match=r"nosuch://a/b cannot be opened: .*nosuch"):
        Dataset.open("nosuch://a/b", access=impatient(access))
    with pytest.raises(DatasetError, match=r"cannot be opened: .*\. Install it with `pip install adlfs`"):
        Dataset.open("az://a/b", access=impatient(access))


def test_a_folder_that_is_called_like_an_address_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert locate_dataset(Path("s3:/bucket"), None) == (Path("s3:/bucket"), "")


def test_the_environment_says_where_the_cache_is_and_how_large(tmp_path: Path) -> None:
    chosen = Access.from_environment({"MASKLOOM_CACHE": str(tmp_path), "MASKLOOM_CACHE_BYTES": "5G"})
    assert (chosen.cache, chosen.cache_bytes) == (tmp_path, 5 << 30)
    assert Access.from_environment({"XDG_CACHE_HOME": str(tmp_path)}).cache == tmp_path / "maskloom"
    assert Access.from_environment({}).cache == Path.home() / ".cache" / "maskloom"
    assert Access.from_environment({"MASKLOOM_CACHE_BYTES": "1000"}).cache_bytes == 1000


@pytest.mark.parametrize("text", ["", "5 G", "5GB", "-1", "1e9", "G", "1.5G", "٣", "5GG"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"\$MASKLOOM_CACHE_BYTES is .*such as 50G"):
        Access.from_environment({"MASKLOOM_CACHE_BYTES": text})
