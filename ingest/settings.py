"""What the user decided about an ingest; part of the plan's identity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from pipelines.transforms.logmel_spec import LogMelSpec
from shards.errors import SettingsError
from shards.schema import BLOCK

_DAY_S = 24 * 3600.0
_Bounds = Mapping[str, tuple[float, float]]
"""The least and the most that a setting may be, by its name; the most may be infinity, which no setting is."""


def _check_bounds(settings: object, path: str, bounds: _Bounds) -> None:
    """Refuse numbers that make no sense; None passes, and NaN and infinity never do.

    Args:
        settings: What holds the numbers.
        path: What its settings are called in front of their own names, as the user writes them: `limits.`.
        bounds: What they may be.

    Raises:
        SettingsError: A number is outside of its bounds.
    """
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if value is None or (least <= value <= most and value < math.inf):
            continue
        wanted = f"{least:.12g} or more" if most == math.inf else f"from {least:.12g} to {most:.12g}"
        raise SettingsError(f"{path}{name}={value}: give a number, {wanted}.")


def _check_order(settings: object, path: str, pairs: Mapping[str, str]) -> None:
    """Refuse a least (a key) above the most (its value) of the same thing."""
    for low, high in pairs.items():
        least, most = getattr(settings, low), getattr(settings, high)
        if least is not None and most is not None and least > most:
            raise SettingsError(f"{path}{low}={least} is above {path}{high}={most}: nothing would be left.")


class Check(StrEnum):
    """How far a picture is checked that is stored unchanged."""

    DECODE = "decode"
    HEADER = "header"


class VideoStore(StrEnum):
    """How clips are stored: sampled frames as JPEG members, or the clip itself as one mp4 member."""

    FRAMES = "frames"
    MP4 = "mp4"


class AudioStore(StrEnum):
    """What is stored of sound: the samples, the log-mel features, both, or nothing."""

    BOTH = "both"
    FLAC = "flac"
    LOGMEL = "logmel"
    NONE = "none"


class SplitBy(StrEnum):
    """What keeps items together when they are dealt to splits."""

    CONTENT = "content"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a file may cost; an item beyond one is rejected with its reason, before it is decoded if possible.

    Args:
        image_bytes: Largest encoded picture.
        pixels: Most pixels that the header of a picture, a raster or a video may claim, per frame.
        text_bytes: Longest caption.
        metadata_bytes: Largest metadata record.
        audio_bytes: Largest sound file.
        audio_seconds: Longest sound that is stored.
        video_bytes: Largest video file.
        video_seconds: Longest that a video may claim to last, before it is cut into clips.
        video_frames: Most frames that are decoded for one clip.
        points_bytes: Largest point cloud or mesh file.
        points: Most points or vertices that a header may claim.
        raster_bytes: Largest raster, encoded and decoded.
        item_seconds: Longest time that one item may take to be read and encoded.
        item_memory: Most bytes of memory that decoding one item may add.
    """

    image_bytes: int = 64 << 20
    pixels: int = 100_000_000
    text_bytes: int = 64 << 10
    metadata_bytes: int = 1 << 20
    audio_bytes: int = 512 << 20
    audio_seconds: float = 3600.0
    video_bytes: int = 16 << 30
    video_seconds: float = 7 * _DAY_S
    video_frames: int = 200_000
    points_bytes: int = 1 << 30
    points: int = 50_000_000
    raster_bytes: int = 1 << 30
    item_seconds: float = 120.0
    item_memory: int = 4 << 30

    def __post_init__(self) -> None:
        bounds = {item.name: (1.0, math.inf) for item in fields(self)}
        seconds = {
            "audio_seconds": (0.01, math.inf),
            "video_seconds": (0.01, math.inf),
            "item_seconds": (0.1, 7 * _DAY_S),
        }
        _check_bounds(self, "limits.", {**bounds, **seconds, "item_memory": (256 << 20, math.inf)})

    def bytes_of(self, kind: str) -> int:
        """Return the most bytes that the raw file of a part of this kind may have."""
        return {
            "image": self.image_bytes,
            "video": self.video_bytes,
            "audio": self.audio_bytes,
            "points": self.points_bytes,
            "raster": self.raster_bytes,
            "ids": self.raster_bytes,
            "text": self.text_bytes,
            "metadata": self.metadata_bytes,
        }[kind]


SHORTEST_CLIP_S = 0.01
"""Seconds that a clip, and the way from one to the next, must have: clips are told apart by the millisecond."""
MOST_FRAMES = 65_536
"""Frames that can be stored of a clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """How videos become clips.

    Args:
        store: Sampled frames, or mp4.
        frames: Frames that are stored of a clip, evenly spaced: the ones shown at the middle of its equal parts.
        clip_seconds: Length of the clips that a video is cut into; None makes each video one clip.
        clip_stride: Seconds from the start of one clip to the next; None for clips end to end.
    """

    store: VideoStore = VideoStore.FRAMES
    frames: int = 16
    clip_seconds: float | None = None
    clip_stride: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= MOST_FRAMES:
            raise SettingsError(f"--clip-frames {self.frames}: store from 1 to {MOST_FRAMES} frames of a clip.")
        for option, value in (("--clip-seconds", self.clip_seconds), ("--clip-stride", self.clip_stride)):
            if value is not None and not SHORTEST_CLIP_S <= value < math.inf:
                raise SettingsError(f"{option} {value}: give a length in seconds, at least {SHORTEST_CLIP_S:g}.")
        if self.clip_stride is not None and self.clip_seconds is None:
            raise SettingsError(
                f"--clip-stride {self.clip_stride} says how far apart clips start; give --clip-seconds too."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """How sound is stored: mono at `rate` hertz, as FLAC and as log-mel features of `mel_bins` bands every `hop_ms`."""

    store: AudioStore = AudioStore.BOTH
    rate: int = 16_000
    mel_bins: int = 128
    window_ms: float = 25.0
    hop_ms: float = 10.0

    def __post_init__(self) -> None:
        bounds = {"rate": (4000, 192_000), "mel_bins": (8, 512), "window_ms": (0.01, 10_000), "hop_ms": (0.01, 10_000)}
        _check_bounds(self, "audio.", bounds)
        self.spec.frames(0)  # windows that make no sense are refused here, not by a worker

    @property
    def spec(self) -> LogMelSpec:
        """Everything that decides the numbers of the features."""
        return LogMelSpec(rate=self.rate, bins=self.mel_bins, window_ms=self.window_ms, hop_ms=self.hop_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSettings:
    """How point clouds are stored: `mesh_points` is how many points are drawn from the surface of a mesh."""

    mesh_points: int = 8192

    def __post_init__(self) -> None:
        _check_bounds(self, "points.", {"mesh_points": (1, 50_000_000)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is rejected although it is sound. The facts are in the index in any case; None never rejects.

    Args:
        min_side: Shortest side that a picture or a video must have, in pixels, as it is found.
        max_aspect: Largest ratio of the longer side to the shorter.
        min_seconds: Shortest sound or clip.
        max_seconds: Longest sound or clip.
        silence_db: A sound whose peak is below this level, in dB of full scale, is silent.
        blank_contrast: A picture whose grey levels have a standard deviation below this (0 to 127.5) is blank.
        min_characters: Shortest caption.
        max_characters: Longest caption.
        duplicates: Whether an item whose raw bytes occurred before, in all fields, is rejected.
        near_duplicates: Pictures whose perceptual hashes differ in at most this many of 64 bits count as the same.
    """

    min_side: int | None = None
    max_aspect: float | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    silence_db: float | None = None
    blank_contrast: float | None = None
    min_characters: int | None = None
    max_characters: int | None = None
    duplicates: bool = False
    near_duplicates: int | None = None

    def __post_init__(self) -> None:
        bounds = {
            "min_side": (1, math.inf),
            "max_aspect": (1, math.inf),
            "min_seconds": (0, math.inf),
            "max_seconds": (0.01, math.inf),
            "silence_db": (-120, 0),
            "blank_contrast": (0, 127.5),
            "min_characters": (0, math.inf),
            "max_characters": (1, math.inf),
        }
        _check_bounds(self, "filters.", bounds)
        _check_order(self, "filters.", {"min_seconds": "max_seconds", "min_characters": "max_characters"})
        if self.near_duplicates is not None and not 0 <= self.near_duplicates <= 16:
            raise SettingsError(
                f"--near-duplicates {self.near_duplicates}: give the number of differing bits out of 64, from 0 to 16; "
                "farther apart, pictures have nothing in common."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Which share of the items goes to which split, and what must not be torn apart.

    Args:
        shares: Share of the items by name of the split; the rest is `train`. Empty for a dataset without splits.
        by: Items whose media are all the same, byte for byte, or items of the same group, are always in the same split.
    """

    shares: tuple[tuple[str, float], ...] = ()
    by: SplitBy = SplitBy.CONTENT

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name, share in self.shares:
            if not name.isidentifier() or name == "train":
                raise SettingsError(
                    f"--split {name}={share}: '{name}' cannot name a split; take letters, digits and _, and not train, "
                    "which is the rest."
                )
            if not 0 < share < 1:
                raise SettingsError(f"--split {name}={share}: a share is a number above 0 and below 1, as in val=0.1.")
            if name in seen:
                raise SettingsError(f"--split {name}={share}: {name} has a share already; give each split one.")
            seen.add(name)
        if sum(share for _, share in self.shares) >= 1:
            raise SettingsError("--split: the shares add up to 1 or more, which leaves nothing for train.")


def parse_share(text: str) -> tuple[str, float]:
    """Read the share of a split, as in `val=0.1`.

    Raises:
        SettingsError: It is not of that form.
    """
    name, _, share = text.partition("=")
    try:
        return name.strip(), float(share)
    except ValueError:
        raise SettingsError(f"--split {text}: write NAME=SHARE, as in val=0.1.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How media is fetched over the network.

    Args:
        allow_private_addresses: Also fetch from loopback and private addresses. Those of the machine's own link (where
            clouds keep their credentials), multicast and reserved ones are refused in any case.
        timeout_s: Longest wait for a connection, or for more bytes; a whole file may take ten times as long.
        retries: How often a fetch is tried again that failed for a reason that may pass.
        redirects: Most redirects that are followed; every one is checked like the first address.
    """

    allow_private_addresses: bool = False
    timeout_s: float = 30.0
    retries: int = 3
    redirects: int = 5

    def __post_init__(self) -> None:
        _check_bounds(self, "fetch.", {"timeout_s": (0.01, _DAY_S), "retries": (0, 100), "redirects": (0, 100)})


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How raw items become samples.

    Args:
        image_size: Shorter side in pixels above which pictures and frames are made smaller; None keeps every size.
        jpeg_quality: Quality of pictures that have to be encoded again, and of frames.
        check: How far a picture is checked that is stored unchanged.
        shard_size: Items to a shard; a multiple of 64 keeps all blocks full.
        seed: Seed of the shuffle that deals items to shards, of splits and of points drawn from meshes.
        require: Fields that a sample must have; items without them are rejected.
    """

    image_size: int | None = None
    jpeg_quality: int = 92
    check: Check = Check.DECODE
    shard_size: int = 1024
    seed: int = 0
    require: tuple[str, ...] = ()
    video: VideoSettings = field(default_factory=VideoSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    points: PointSettings = field(default_factory=PointSettings)
    filters: Filters = field(default_factory=Filters)
    splits: Splits = field(default_factory=Splits)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        looks = {"near_duplicates": self.filters.near_duplicates, "blank_contrast": self.filters.blank_contrast}
        blind = [f"filters.{name}" for name, value in looks.items() if value is not None]
        if blind and self.check is Check.HEADER:
            raise SettingsError(
                f"{', '.join(blind)}: pictures have to be decoded for that, and --check header leaves them unseen. Use "
                "--check decode."
            )
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
                "video": _read(VideoSettings, data["video"], store=VideoStore),
                "audio": _read(AudioSettings, data["audio"], store=AudioStore),
                "points": PointSettings(**data["points"]),
                "filters": Filters(**data["filters"]),
                "splits": Splits(
                    shares=tuple((name, share) for name, share in data["splits"]["shares"]),
                    by=SplitBy(data["splits"]["by"]),
                ),
                "fetch": FetchSettings(**data["fetch"]),
                "limits": Limits(**data["limits"]),
            }
        )


def _read(kind: type[Any], data: dict[str, Any], **enums: type[StrEnum]) -> Any:  # noqa: ANN401 - one of the classes above
    values = {item.name: data[item.name] for item in fields(kind)}
    return kind(**{name: enums[name](value) if name in enums else value for name, value in values.items()})
