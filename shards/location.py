"""Where a dataset stands: a folder on this machine, or the URL of one elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from shards.errors import DatasetError
from shards.remote.access import Access
from shards.store import Folder, Store

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE)
"""A scheme of two characters or more, so that no drive letter is one; a Path has lost one of the two slashes."""


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    """The URL of a dataset, without a slash at its end; it can be read, and stands where a Path would in messages.

    Args:
        url: The URL.
        access: How the dataset is read.
    """

    url: str
    access: Access

    def folder(self, path: str) -> RemoteRoot:
        """Return a folder of the dataset, to be read like the dataset."""
        return RemoteRoot(f"{self.url}/{path}", self.access)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def resolve(self) -> RemoteRoot:
        """Return the same: a URL is absolute."""
        return self

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> NoReturn:
        """Refuse to name a file: only folders on this machine are written to.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(
            f"{self.url} can only be read: '{name}' would be looked for or written in a folder on this machine. "
            "Copy the dataset here for that, or give a command that writes pictures or pages an --out folder."
        )


Root = Path | RemoteRoot


def require_folder(root: Root, doing: str) -> Path:
    """Return where a dataset stands that is to be changed or gone through.

    Args:
        root: Where it stands.
        doing: What is to be done, for the message.

    Raises:
        DatasetError: It is a URL.
    """
    if isinstance(root, Path) and (root.exists() or not _URL.fullmatch(str(root))):
        return root
    raise DatasetError(f"{root} is not on this machine; {doing} needs a folder here. Copy the dataset here first.")


def store_of(root: Root, identity: str = "") -> Store:
    """Return what reads the files of a dataset.

    Args:
        root: Where it stands.
        identity: What names its content, if that is known yet; see RemoteStore.
    """
    return Folder(root) if isinstance(root, Path) else _remote_store(root, identity or root.url)


@lru_cache(maxsize=64)
def _remote_store(root: RemoteRoot, identity: str) -> Store:
    """Return the store of a dataset, the same each time: it holds connections and open blocks."""
    from shards.remote.store import RemoteStore  # with network libraries, which no folder needs

    return RemoteStore(root.url, root.access, identity)


def locate_dataset(location: str | Path, access: Access | None) -> tuple[Root, str]:
    """Take `place:split` apart, where the place is a folder or a URL, and return it with the split, or an empty string.

    A folder that is really called so counts as a folder. The port of `http://host:8080` is no split.

    Raises:
        DatasetError: The URL is of a kind that is not read.
    """
    found = _URL.fullmatch(str(location))
    if found is None or Path(location).exists():
        return _folder_and_split(Path(location))
    scheme, place = found[1].lower(), found[2].rstrip("/")
    if scheme == "file":
        return _folder_and_split(Path("/") / place)
    if "?" in place or "#" in place or "::" in place:
        raise DatasetError(
            f"{location} has a query, a fragment or a chain in it, which no dataset has. Give the address of the folder; "
            "credentials come from the environment."
        )
    before, slash, last = place.rpartition("/")
    name, colon, split = last.rpartition(":")
    if not (colon and name) or (not slash and scheme in ("http", "https")):
        name, split = last, ""
    return RemoteRoot(f"{scheme}://{before}{slash}{name}", access or Access.from_environment()), split


def _folder_and_split(path: Path) -> tuple[Path, str]:
    name, colon, split = path.name.rpartition(":")
    return (path.with_name(name), split) if colon and name and not path.exists() else (path, "")
