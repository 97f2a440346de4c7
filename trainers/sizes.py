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


SMALL_DECODERS = {
    "tiny": Size(width=128, depth=4, heads=4, patch=16),
    "small": Size(width=256, depth=4, heads=8, patch=16),
}
USUAL_DECODER = Size(width=512, depth=8, heads=16, patch=16)
"""The decoder of masked autoencoders (He et al., arXiv:2111.06377, section 4.1)."""

SLOW_ON_CPU = ("base", "large", "huge")
"""Sizes whose training takes months on a CPU."""


def encoder_size(name: str) -> Size:
    """Return the size called `name`; raises SettingsError if there is none."""
    if name not in SIZES:
        raise SettingsError(f"there is no size '{name}'; sizes are {', '.join(SIZES)}.{did_you_mean(name, SIZES)}")
    return SIZES[name]


def decoder_size(name: str) -> Size:
    """Return the decoder that goes with the size called `name`: the usual one, or a lighter one for tiny and small."""
    return SMALL_DECODERS.get(name, USUAL_DECODER)


def first_gain(name: str) -> float:
    """Return where the gains of residual branches start: 0.1, and 1e-5 for large and huge (arXiv:2106.08254, appendix)."""
    return 1e-5 if name in ("large", "huge") else 0.1
