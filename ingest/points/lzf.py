"""LZF, the compression inside of PCD files.

Format: M. Lehmann, LibLZF. A control byte below 32 is followed by that many and one literal bytes; any other one repeats
what was written before: three bits of length, thirteen of distance.
"""

from __future__ import annotations

from ingest.points.claims import corrupt

_MAX_GROWTH = 132
"""A repeat of at most 264 bytes takes at least two."""


def decompress(data: bytes, size: int) -> bytes:
    """Decompress `data` to exactly `size` bytes.

    Raises:
        Rejection: It is damaged, or cannot become so many bytes.
    """
    if size > _MAX_GROWTH * len(data):
        raise corrupt(f"{len(data)} compressed bytes cannot become {size}")
    out, place, end = bytearray(), 0, len(data)
    try:
        while place < end and len(out) <= size:
            control = data[place]
            if control < 32:
                out += data[place + 1 : place + control + 2]
                place += control + 2
                continue
            length = control >> 5
            if length == 7:
                place += 1
                length += data[place]
            start = len(out) - ((control & 31) << 8) - data[place + 1] - 1
            place += 2
            if start < 0:
                raise corrupt("compressed data repeats what stands before their beginning")
            _repeat(out, start, length + 2)
    except IndexError as error:
        raise corrupt("compressed data are cut off") from error
    if place != end or len(out) != size:
        raise corrupt(f"compressed data become {len(out)} bytes, {size} are claimed")
    return bytes(out)


def _repeat(out: bytearray, start: int, length: int) -> None:
    """Append `length` bytes that begin at `start`; they may reach into what is being appended."""
    known = out[start : start + length]
    copies = -(-length // len(known))
    out += (known * copies)[:length]
