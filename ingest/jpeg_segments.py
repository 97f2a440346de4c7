"""Cuts EXIF and other camera metadata (position, serial numbers, thumbnails) out of a JPEG without touching its pixels."""

from __future__ import annotations

import re

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_END_MARKER = b"\xff\xd9"
_PRIVATE_SEGMENTS = frozenset({0xE1, 0xED})  # APP1: EXIF and XMP; APP13: Photoshop and IPTC
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_MULTI_PICTURE = b"MPF\x00"  # an APP2 segment: where the pictures behind the first one stand
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)


def without_exif(data: bytes) -> bytes:
    """Return a JPEG file without its APP1 and APP13 segments and without what stands behind the picture.

    Cameras append previews, depth maps and films there, with EXIF blocks of their own. Colour profiles (APP2) and the
    Adobe marker (APP14) decide colours and stay. What cannot be parsed is returned as it is.
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
        if marker not in _PRIVATE_SEGMENTS and data[place + 4 : place + 8] != _MULTI_PICTURE:
            kept.append(data[place:end])
        place = end
    kept.append(data[place : _end_of_picture(data, place)])
    return b"".join(kept)


def _end_of_picture(data: bytes, place: int) -> int:
    """Return the byte behind the end marker that follows the scans from `place` on, or the length of the file."""
    if data.find(_END_MARKER, place) == len(data) - len(_END_MARKER):
        return len(data)  # nothing earlier even looks like an end
    while found := _MARKER_AFTER_SCAN.search(data, place):
        place = found.start()
        if data[place + 1] == _END_OF_IMAGE:
            return place + 2
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return len(data)
