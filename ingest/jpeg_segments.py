"""Cuts EXIF and other camera metadata (position, serial numbers, thumbnails) out of a JPEG without touching its pixels."""

from __future__ import annotations

_START_OF_SCAN = 0xDA
_PRIVATE_SEGMENTS = frozenset({0xE1, 0xED})  # APP1: EXIF and XMP; APP13: Photoshop and IPTC
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def without_exif(data: bytes) -> bytes:
    """Return a JPEG file without its APP1 and APP13 segments; what cannot be parsed is returned as it is.

    Colour profiles (APP2) and the Adobe marker (APP14) decide colours and stay.
    """
    kept = [data[:2]]
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            break
        if marker == 0xFF or marker in _STANDALONE:
            kept.append(data[place : place + 1] if marker == 0xFF else data[place : place + 2])
            place += 1 if marker == 0xFF else 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker not in _PRIVATE_SEGMENTS:
            kept.append(data[place:end])
        place = end
    kept.append(data[place:])
    return b"".join(kept)
