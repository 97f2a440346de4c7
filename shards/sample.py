"""One stored sample: a key, its encoded fields, and what is known about them without decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

NOTHING: Mapping[str, Any] = {}
"""What samples without frames, or without facts, share; a plain dictionary, which can be pickled, that nobody writes to."""


class Sample(NamedTuple):
    """A key with named encoded fields and facts; immutable.

    A named tuple, because a stream makes one for every sample, and a frozen dataclass takes twice as long to make.

    Args:
        key: Names the sample in its dataset; at most 96 ASCII characters.
        fields: Encoded bytes by field name, as they stand in the tar (an image: a JPEG, PNG or WebP file; a text: UTF-8).
        facts: What the index knows about the fields: `image.width` in pixels, `label` as an integer, ...
        frames: Encoded pictures by field name, of fields that are sequences of members.
    """

    key: str
    fields: Mapping[str, bytes]
    facts: Mapping[str, Any] = NOTHING
    frames: Mapping[str, tuple[bytes, ...]] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a sample came from.

    Args:
        source: Its name in the source, for people.
        licence: Its licence, if known.
        group: What it belongs to with others (a video, a drive); empty for a sample of its own.
        place: Where it stands in the order of its group, or -1.
    """

    source: str
    licence: str | None
    group: str = ""
    place: int = -1

    @property
    def columns(self) -> dict[str, Any]:
        """The same as columns of the index."""
        return {"source": self.source, "licence": self.licence, "group": self.group, "place": self.place}
