"""How a share of tokens becomes a whole number of tokens."""

from fractions import Fraction
from math import ceil, floor

from shards.errors import SettingsError


def floor_share(count: int, share: float) -> int:
    """Return count * share, rounded down. The product is that of the decimal number as written: 10 * 0.7 is 7."""
    return floor(count * Fraction(str(share)))


def nearest_share(count: int, share: float) -> int:
    """Return count * share, rounded to the nearest whole number, halves to the even one; exact as `floor_share`."""
    return round(count * Fraction(str(share)))


def ceil_share(count: int, share: float) -> int:
    """Return count * share, rounded up; exact as `floor_share`."""
    return ceil(count * Fraction(str(share)))


def remaining_share(count: int, share: float) -> int:
    """Return count * (1 - share), rounded down: 10 tokens without a share of 0.9 are 1, where binary fractions give 0."""
    return floor(count * (1 - Fraction(str(share))))


def between_one_and_all_but_one(count: int, num_tokens: int) -> int:
    """Return `count`, moved so that at least one token is counted and at least one is not.

    Raises:
        SettingsError: There are fewer than two tokens.
    """
    if num_tokens < 2:
        raise SettingsError(f"Masking needs at least two tokens, but there is {num_tokens}; use smaller patches.")
    return min(max(count, 1), num_tokens - 1)


def require_share(ratio: float) -> None:
    """Raise SettingsError unless `ratio` is a share of patches that leaves some visible and some hidden."""
    if not 0 < ratio < 1:
        raise SettingsError(f"A mask ratio of {ratio} was asked for; it has to be above 0 and below 1.")


def require_within(name: str, value: float, *, least: float, most: float) -> None:
    """Raise SettingsError unless `least` <= value <= `most`; `name` says what the value is."""
    if not least <= value <= most:
        raise SettingsError(f"A {name} of {value} was asked for; give {least:g} to {most:g}.")
