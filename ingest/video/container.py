"""Opening a video file, with everything shut that a hostile one could make FFmpeg do.

Only containers that start as their format says are given to FFmpeg, and only their demuxer and the listed decoders are tried:
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

from ingest.containers import OF_VIDEO, OPENED_CODECS, SIGNATURE_BYTES, VIDEO_CODECS, Container, sniff
from ingest.raw import Raw
from ingest.rejection import Rejection
from shards.schema import RejectReason

UNINDEXED = ("mpeg", "mpegts")
"""Containers that find a moment only roughly and do not know how long they last."""
UNORDERED = "avi"
"""The container that has no time stamps: FFmpeg makes them up in the order of decoding, from some small number on."""


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
    with raw.open() as file:
        kind = _kind(file.read(SIGNATURE_BYTES))
        file.seek(0)
        options = {"format_whitelist": kind.demuxer, "codec_whitelist": OPENED_CODECS}
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


def _kind(head: bytes) -> Container:
    if not head:
        raise Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    kind = sniff(head)
    if kind is None or not kind.may_hold_video:
        names = ", ".join(container.name for container in OF_VIDEO)
        raise Rejection(
            RejectReason.UNKNOWN_FORMAT,
            f"no container of video that is read ({names}); the file starts with {head[:12].hex(' ')}",
        )
    return kind


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
