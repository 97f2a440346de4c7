"""Opening a video file, with everything shut that a hostile one could make FFmpeg do.

Only containers that start as their format says are given to FFmpeg, and only the demuxers and decoders listed here are tried:
playlists and `concat` scripts, which open other files, are never reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from ingest.raw import Raw
from ingest.rejection import Rejection
from shards.schema import RejectReason

DEMUXERS = ("mov", "matroska", "avi", "mpeg", "mpegts", "flv", "ogg", "asf")
VIDEO_CODECS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg1video", "mpeg2video", "h263", "mjpeg", "theora"),
    *("msmpeg4", "msmpeg4v2", "flv", "wmv1", "wmv2", "wmv3", "vc1", "dvvideo", "prores", "ffv1", "rawvideo"),
)
SOUND_CODECS = (
    *("aac", "aac_latm", "ac3", "eac3", "alac", "amrnb", "amrwb", "flac", "mp2", "mp2float", "mp3", "mp3float"),
    *("opus", "libopus", "vorbis", "libvorbis", "wmav1", "wmav2", "adpcm_ima_wav", "adpcm_ms", "pcm_alaw", "pcm_mulaw"),
    *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le", "pcm_dvd"),
)
UNINDEXED = ("mpeg", "mpegts")
"""Containers that find a moment only roughly and do not know how long they last."""
UNORDERED = "avi"
"""The container that has no time stamps: FFmpeg makes them up in the order of decoding, from some small number on."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"styp", b"sidx", b"moof", b"meta")
_STARTS = (b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"FLV\x01", b"OggS", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
_SYNC = 0x47
_SYNC_PLACES = ((0, 188), (4, 196))
_HEAD = 197


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVideo:
    """An open file and its pictures.

    Args:
        container: The file, before its first packet.
        stream: The stream of pictures that players show; attached cover art is none.
    """

    container: InputContainer
    stream: VideoStream

    @property
    def origin(self) -> float:
        """Where players start to count: the first time stamp of any stream, in seconds as the streams have them."""
        start = self.container.start_time
        return start / av.time_base if start is not None else 0.0

    @property
    def tick(self) -> float:
        """Seconds between two time stamps of the stream of pictures."""
        return float(self.stream.time_base or 0)

    def discard_others(self) -> None:
        """Let no packet be read but those of the pictures."""
        for stream in self.container.streams:
            if stream.index != self.stream.index:
                stream.discard = Discard.all


@contextmanager
def opened(raw: Raw) -> Iterator[OpenVideo]:
    """Open a video file.

    Raises:
        Rejection: It is empty, no container that is known, damaged, without pictures, or of a codec that is not read. An
            error of FFmpeg inside the block becomes `corrupt_video` too.
    """
    options = {
        "format_whitelist": ",".join(DEMUXERS),
        "codec_whitelist": ",".join((*VIDEO_CODECS, *SOUND_CODECS)),
    }
    with raw.open() as file:
        _check_start(file.read(_HEAD))
        file.seek(0)
        try:
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                yield OpenVideo(container=container, stream=_pictures(container))
        except av.FFmpegError as error:
            raise Rejection(RejectReason.CORRUPT_VIDEO, said(error)) from error


def rewind(video: OpenVideo, sought: int | None) -> None:
    """Go to the last keyframe before a time stamp, or to the beginning."""
    if sought is not None:
        video.container.seek(sought, stream=video.stream)
    elif video.container.format.name in UNINDEXED:
        video.container.seek(0, unsupported_byte_offset=True)
    else:
        video.container.seek(min(0, video.stream.start_time or 0), stream=video.stream)


def said(error: av.FFmpegError) -> str:
    """Return what FFmpeg says of the file on which it gives up."""
    last = error.log[1][2].strip() if error.log and error.log[1] else ""
    return f"{error.strerror}{f': {last}' if last else ''}"


def _check_start(head: bytes) -> None:
    if not head:
        raise Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    is_avi = head.startswith(b"RIFF") and head[8:11] == b"AVI"
    is_transport = any(len(head) > second and head[first] == head[second] == _SYNC for first, second in _SYNC_PLACES)
    if not (is_avi or is_transport or head[4:8] in _BOXES or head.startswith(_STARTS)):
        raise Rejection(
            RejectReason.UNKNOWN_FORMAT,
            f"no container of video that is read ({', '.join(DEMUXERS)}); the file starts with {head[:12].hex(' ')}",
        )


def _pictures(container: InputContainer) -> VideoStream:
    """Return the first stream of pictures that is marked as the default one, or else the first."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        if not len(container.streams):
            raise Rejection(RejectReason.CORRUPT_VIDEO, "the file has no streams")
        kinds = ", ".join(stream.type for stream in container.streams)
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"the file has no moving pictures; what it has is: {kinds}")
    stream = next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    name = stream.codec_context.name if stream.codec_context is not None else None
    if name not in VIDEO_CODECS:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"pictures of codec {name} are not read")
    if not stream.time_base:
        raise Rejection(RejectReason.CORRUPT_VIDEO, "the pictures have no time base")
    return stream
