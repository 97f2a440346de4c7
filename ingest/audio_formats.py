"""Sound files by their first bytes: what they are, who decodes them, and whether they are all there.

A name proves nothing and a decoder that guesses can be led astray (playlists that open other files), so the first bytes alone
decide which decoder sees a file, and each is told what to expect.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_OGG_PAGE = b"OggS"
_OGG_LAST = 4
_OGG_HEADER = 27
_ID3 = b"ID3"
_ID3_HEADER = 10
_SEARCHED_BYTES = 1 << 16
_FIRST_FRAME = 256
_TOLERATED_BYTES = 64
"""Some writers put the size of the file where the size of the samples belongs."""
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What writers put that cannot go back to the header of a pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of sound file.

    Args:
        name: What people call it.
        demuxer: What FFmpeg calls it.
        has_soundfile: Whether libsndfile, which is faster, is tried first.
    """

    name: str
    demuxer: str
    has_soundfile: bool = False


_WAV = Container(name="WAV", demuxer="wav", has_soundfile=True)
_W64 = Container(name="W64", demuxer="w64", has_soundfile=True)
_AIFF = Container(name="AIFF", demuxer="aiff", has_soundfile=True)
_AU = Container(name="AU", demuxer="au", has_soundfile=True)
_CAF = Container(name="CAF", demuxer="caf", has_soundfile=True)
_OGG = Container(name="Ogg", demuxer="ogg", has_soundfile=True)
_MP3 = Container(name="MP3", demuxer="mp3", has_soundfile=True)
_AAC = Container(name="AAC", demuxer="aac")
_TRANSPORT_MARKS = (((0, b"G"), (188, b"G")), ((4, b"G"), (196, b"G")))
_MP4_BOXES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"pnot",
    b"uuid",
    b"styp",
    b"sidx",
    b"moof",
    b"meta",
)

_Marks = tuple[tuple[int, bytes], ...]
_SIGNATURES: tuple[tuple[Container, _Marks], ...] = (
    *((_WAV, ((0, outer), (8, b"WAVE"))) for outer in (b"RIFF", b"RIFX", b"RF64", b"BW64")),
    *((_AIFF, ((0, b"FORM"), (8, inner))) for inner in (b"AIFF", b"AIFC")),
    (Container(name="AVI", demuxer="avi"), ((0, b"RIFF"), (8, b"AVI"))),
    (_W64, ((0, b"riff\x2e\x91\xcf\x11"),)),
    (_AU, ((0, b".snd"),)),
    (_CAF, ((0, b"caff"),)),
    (Container(name="FLAC", demuxer="flac", has_soundfile=True), ((0, b"fLaC"),)),
    (_OGG, ((0, _OGG_PAGE),)),
    *((Container(name="MP4", demuxer="mov"), ((4, box),)) for box in _MP4_BOXES),
    (Container(name="Matroska", demuxer="matroska"), ((0, b"\x1aE\xdf\xa3"),)),
    (Container(name="AMR", demuxer="amr"), ((0, b"#!AMR"),)),
    (Container(name="WMA", demuxer="asf"), ((0, b"0&\xb2u\x8ef\xcf\x11"),)),
    (Container(name="FLV", demuxer="flv"), ((0, b"FLV\x01"),)),
    (Container(name="AC-3", demuxer="ac3"), ((0, b"\x0bw"),)),
    (Container(name="DTS", demuxer="dts"), ((0, b"\x7f\xfe\x80\x01"),)),
    (Container(name="WavPack", demuxer="wv"), ((0, b"wvpk"),)),
    (Container(name="Monkey's Audio", demuxer="ape"), ((0, b"MAC "),)),
    (Container(name="TTA", demuxer="tta"), ((0, b"TTA1"),)),
    (Container(name="MPEG program stream", demuxer="mpeg"), ((0, b"\x00\x00\x01\xba"),)),
    *((Container(name="MPEG transport stream", demuxer="mpegts"), marks) for marks in _TRANSPORT_MARKS),
)
"""Kinds of files and the bytes, each at its offset, that all must be there."""
SNIFFED_BYTES = 1 << 20
"""How much of a file `sniff` wants to see: pictures in ID3 tags are large."""


def sniff(data: bytes) -> Container | None:
    """Tell from the first bytes what kind of file this is, or None for none that may hold sound."""
    for container, marks in _SIGNATURES:
        if all(data.startswith(mark, offset) for offset, mark in marks):
            return container
    return _sniff_mpeg(_after_id3(data).lstrip(b"\x00"))


def bytes_missing(data: bytes, container: Container) -> int:
    """Return how many bytes of samples the header promises beyond the end of the file; 0 where it promises nothing.

    libsndfile shortens such files silently. A few bytes do not count, and neither does a size that says "unknown", as
    programs write that send sound through a pipe. For Ogg, 1 means that the page marked as the last one is not there.
    """
    if container is _OGG:
        return 0 if _has_last_page(data) else 1
    missing = max((offset + size - len(data) for offset, size in _sample_chunks(data, container)), default=0)
    return missing if missing > _TOLERATED_BYTES else 0


def counts_samples(data: bytes, container: Container) -> bool:
    """Tell whether the header counts the samples that libsndfile names; of an MP3 without a Xing header it is a guess."""
    return container is not _MP3 or any(mark in _after_id3(data)[:_FIRST_FRAME] for mark in (b"Xing", b"Info", b"VBRI"))


def _sniff_mpeg(data: bytes) -> Container | None:
    if data.startswith(b"fLaC"):
        return Container(name="FLAC", demuxer="flac")
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer, bit_rate = data[1] >> 1 & 3, data[2] >> 4
    if layer == 0:
        return _AAC if data[1] & 0xF0 == 0xF0 else None
    return _MP3 if bit_rate != 15 else None


def _after_id3(data: bytes) -> bytes:
    """Return what follows the ID3 tags at the start, as far as they say how long they are, in 7 bits a byte."""
    end = 0
    while data[end : end + 3] == _ID3 and len(data) >= end + _ID3_HEADER:
        sizes = data[end + 6 : end + _ID3_HEADER]
        end += _ID3_HEADER + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(sizes))
    return data[end : end + _SEARCHED_BYTES]


def _sample_chunks(data: bytes, container: Container) -> Iterator[tuple[int, int]]:
    """Yield offset and promised size of the samples."""
    if container is _AU and len(data) >= 12:
        offset, size = struct.unpack_from(">II", data, 4)
        if size not in _UNKNOWN_SIZES:
            yield offset, size
    elif container is _W64:
        yield from _w64_chunks(data)
    elif container is _CAF:
        yield from _caf_chunks(data)
    elif container in (_WAV, _AIFF):
        yield from _iff_chunks(data)


def _iff_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    order = ">" if data.startswith((b"FORM", b"RIFX")) else "<"
    long_size: int | None = None
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from(f"{order}I", data, position + 4)[0]
        position += 8
        if name == b"ds64" and position + 16 <= len(data):
            long_size = struct.unpack_from("<Q", data, position + 8)[0]
        if name in (b"data", b"SSND"):
            is_unknown = size in _UNKNOWN_SIZES
            if is_unknown and long_size:
                yield position, long_size
            elif not is_unknown:
                yield position, size
            return
        position += size + size % 2


def _w64_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    position = 40
    while position + 24 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from("<Q", data, position + 16)[0]
        if name == b"data":
            yield position + 24, size - 24
            return
        position += max(24, size + -size % 8)


def _caf_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    position = 8
    while position + 12 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from(">q", data, position + 4)[0]
        position += 12
        if name == b"data":
            yield position, size
            return
        position += max(0, size)


def _has_last_page(data: bytes) -> bool:
    position = data.rfind(_OGG_PAGE)
    header = data[position : position + _OGG_HEADER]
    if len(header) < _OGG_HEADER or not header[5] & _OGG_LAST:
        return False
    segments = data[position + _OGG_HEADER : position + _OGG_HEADER + header[26]]
    return len(data) >= position + _OGG_HEADER + header[26] + sum(segments)
