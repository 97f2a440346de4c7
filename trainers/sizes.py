"""The usual sizes of vision transformers."""

from dataclasses import dataclass

from shards.errors import SettingsError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Size:
    """Width, number of blocks, attention heads, and side of a patch in pixels."""

    width: int
    depth: int
    heads: int
    patch: int


SIZES = {
    "tiny": Size(width=192, depth=12, heads=3, patch=16),
    "small": Size(width=384, depth=12, heads=6, patch=16),
    "base": Size(width=768, depth=12, heads=12, patch=16),
    "large": Size(width=1024, depth=24, heads=16, patch=16),
    "huge": Size(width=1280, depth=32, heads=16, patch=14),
}


SLOW_ON_CPU = ("base", "large", "huge")
"""Sizes whose training takes months on a CPU."""


def encoder_size(name: str) -> Size:
    """Return the size called `name`; raises SettingsError if there is none."""
    if name not in SIZES:
        raise SettingsError(f"there is no size '{name}'; sizes are {', '.join(SIZES)}.{did_you_mean(name, SIZES)}")
    return SIZES[name]
