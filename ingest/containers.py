"""Media files by their first bytes: what they are, which demuxer reads them, and which codecs are opened.

A name proves nothing and a decoder that guesses can be led astray (playlists and scripts that open other files), so the first
bytes alone decide who sees a file, and each is told what to expect.
"""

from __future__ import annotations

from dataclasses import dataclass

VIDEO_CODECS = frozenset(
    (
        *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg1video", "mpeg2video", "h263", "mjpeg"),
        *("theora", "msmpeg4", "msmpeg4v2", "flv", "wmv1", "wmv2", "wmv3", "vc1", "dvvideo", "prores", "ffv1"),
        "rawvideo",
    )
)
SOUND_CODECS = frozenset(
    (
        *("aac", "aac_latm", "ac3", "eac3", "alac", "amrnb", "amrwb", "ape", "dca", "flac", "g723_1", "gsm", "gsm_ms"),
        *("mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "mlp", "truehd", "opus", "libopus", "vorbis"),
        *("libvorbis", "speex", "libspeex", "tta", "wavpack", "wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice"),
        *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "pcm_alaw", "pcm_mulaw", "pcm_u8"),
        *("pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le"),
        *("pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_dvd", "pcm_bluray", "libopencore_amrnb", "libopencore_amrwb"),
    )
)
OPENED_CODECS = ",".join(sorted(VIDEO_CODECS | SOUND_CODECS))
"""FFmpeg's option `codec_whitelist`: no other decoder ever sees a byte."""

SNIFFED_BYTES = 1 << 20
"""How much of a file `sniff` wants to see: pictures in ID3 tags are large."""
SIGNATURE_BYTES = 256
"""How much of it is enough for a file that may hold moving pictures."""
_SEARCHED_BYTES = 1 << 16
_ID3 = b"ID3"
_ID3_HEADER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of media file.

    Args:
        name: What people call it.
        demuxer: What FFmpeg calls it.
        has_soundfile: Whether libsndfile, which is faster, is tried first for its sound.
        may_hold_video: Whether moving pictures are looked for in it.
    """

    name: str
    demuxer: str
    has_soundfile: bool = False
    may_hold_video: bool = False


WAV = Container(name="WAV", demuxer="wav", has_soundfile=True)
W64 = Container(name="W64", demuxer="w64", has_soundfile=True)
AIFF = Container(name="AIFF", demuxer="aiff", has_soundfile=True)
AU = Container(name="AU", demuxer="au", has_soundfile=True)
CAF = Container(name="CAF", demuxer="caf", has_soundfile=True)
MP3 = Container(name="MP3", demuxer="mp3", has_soundfile=True)
OGG = Container(name="Ogg", demuxer="ogg", has_soundfile=True, may_hold_video=True)
_AAC = Container(name="AAC", demuxer="aac")
_AVI = Container(name="AVI", demuxer="avi", may_hold_video=True)
_MP4 = Container(name="MP4", demuxer="mov", may_hold_video=True)
_MATROSKA = Container(name="Matroska", demuxer="matroska", may_hold_video=True)
_ASF = Container(name="ASF", demuxer="asf", may_hold_video=True)
_FLV = Container(name="FLV", demuxer="flv", may_hold_video=True)
_PROGRAM_STREAM = Container(name="MPEG program stream", demuxer="mpeg", may_hold_video=True)
_TRANSPORT_STREAM = Container(name="MPEG transport stream", demuxer="mpegts", may_hold_video=True)
_TRANSPORT_MARKS = (((0, b"G"), (188, b"G")), ((4, b"G"), (196, b"G")))
_MP4_BOXES = (
    *(b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"),
    *(b"pnot", b"uuid", b"styp", b"sidx", b"moof", b"meta"),
)

_Marks = tuple[tuple[int, bytes], ...]
_SIGNATURES: tuple[tuple[Container, _Marks], ...] = (
    *((WAV, ((0, outer), (8, b"WAVE"))) for outer in (b"RIFF", b"RIFX", b"RF64", b"BW64")),
    *((AIFF, ((0, b"FORM"), (8, inner))) for inner in (b"AIFF", b"AIFC")),
    (_AVI, ((0, b"RIFF"), (8, b"AVI"))),
    (W64, ((0, b"riff\x2e\x91\xcf\x11"),)),
    (AU, ((0, b".snd"),)),
    (CAF, ((0, b"caff"),)),
    (Container(name="FLAC", demuxer="flac", has_soundfile=True), ((0, b"fLaC"),)),
    (OGG, ((0, b"OggS"),)),
    *((_MP4, ((4, box),)) for box in _MP4_BOXES),
    (_MATROSKA, ((0, b"\x1aE\xdf\xa3"),)),
    (Container(name="AMR", demuxer="amr"), ((0, b"#!AMR"),)),
    (_ASF, ((0, b"0&\xb2u\x8ef\xcf\x11"),)),
    (_FLV, ((0, b"FLV\x01"),)),
    (Container(name="AC-3", demuxer="ac3"), ((0, b"\x0bw"),)),
    (Container(name="DTS", demuxer="dts"), ((0, b"\x7f\xfe\x80\x01"),)),
    (Container(name="WavPack", demuxer="wv"), ((0, b"wvpk"),)),
    (Container(name="Monkey's Audio", demuxer="ape"), ((0, b"MAC "),)),
    (Container(name="TTA", demuxer="tta"), ((0, b"TTA1"),)),
    (_PROGRAM_STREAM, ((0, b"\x00\x00\x01\xba"),)),
    *((_TRANSPORT_STREAM, marks) for marks in _TRANSPORT_MARKS),
)
"""Kinds of files and the bytes, each at its offset, that all must be there."""
OF_VIDEO = tuple(dict.fromkeys(container for container, _ in _SIGNATURES if container.may_hold_video))
"""The kinds of files in which moving pictures are looked for."""


def sniff(data: bytes) -> Container | None:
    """Tell from the first bytes what kind of file this is, or None for none that may hold sound or moving pictures."""
    for container, marks in _SIGNATURES:
        if all(data.startswith(mark, offset) for offset, mark in marks):
            return container
    return _sniff_mpeg(after_id3(data).lstrip(b"\x00"))


def after_id3(data: bytes) -> bytes:
    """Return what follows the ID3 tags at the start, as far as they say how long they are, in 7 bits a byte."""
    end = 0
    while data[end : end + 3] == _ID3 and len(data) >= end + _ID3_HEADER:
        sizes = data[end + 6 : end + _ID3_HEADER]
        end += _ID3_HEADER + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(sizes))
    return data[end : end + _SEARCHED_BYTES]


def _sniff_mpeg(data: bytes) -> Container | None:
    if data.startswith(b"fLaC"):
        return Container(name="FLAC", demuxer="flac")
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    layer, bit_rate = data[1] >> 1 & 3, data[2] >> 4
    if layer == 0:
        return _AAC if data[1] & 0xF0 == 0xF0 else None
    return MP3 if bit_rate != 15 else None
