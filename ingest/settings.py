"""What the user decided about an ingest; part of the plan's identity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shards.errors import SettingsError, did_you_mean
from shards.schema import BLOCK, FIELDS


class Check(StrEnum):
    """How far a picture is checked that is stored unchanged."""

    DECODE = "decode"
    HEADER = "header"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that are checked before anything is decoded; an item beyond one is rejected with its reason.

    Args:
        image_bytes: Largest encoded picture.
        pixels: Most pixels that a picture's header may claim.
        text_bytes: Longest caption.
        metadata_bytes: Largest metadata record.
    """

    image_bytes: int = 64 << 20
    pixels: int = 100_000_000
    text_bytes: int = 64 << 10
    metadata_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How raw items become samples.

    Args:
        image_size: Shorter side in pixels above which pictures are made smaller; None keeps every size.
        jpeg_quality: Quality of pictures that have to be encoded again.
        check: How far a picture is checked that is stored unchanged.
        shard_size: Items to a shard; a multiple of 64 keeps all blocks full.
        seed: Seed of the shuffle that deals items to shards.
        require: Fields that a sample must have; items without them are rejected.
        limits: Bounds checked before decoding.
    """

    image_size: int | None = None
    jpeg_quality: int = 92
    check: Check = Check.DECODE
    shard_size: int = 1024
    seed: int = 0
    require: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in self.require:
            if name not in FIELDS:
                raise SettingsError(f"--require {name}: fields are {', '.join(FIELDS)}.{did_you_mean(name, FIELDS)}")
        if self.shard_size < 1:
            raise SettingsError(
                f"--shard-size {self.shard_size}: a shard holds at least one item, best a multiple of {BLOCK}."
            )
        if self.image_size is not None and self.image_size < 1:
            raise SettingsError(f"--image-size {self.image_size}: give the shorter side in pixels, at least 1.")
        if not 1 <= self.jpeg_quality <= 100:
            raise SettingsError(f"--jpeg-quality {self.jpeg_quality}: choose between 1 and 100.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> IngestSettings:
        """Read settings back."""
        return cls(
            **{
                **data,
                "check": Check(data["check"]),
                "require": tuple(data["require"]),
                "limits": Limits(**data["limits"]),
            }
        )
