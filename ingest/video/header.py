"""What a video file says about itself, read before its pictures are."""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.video.colours import orientation
from ingest.video.container import UNINDEXED, UNORDERED, OpenVideo, opened, rewind
from shards.schema import RejectReason

UNKNOWN_CODEC = "unknown"
"""Stands for a codec of sound that FFmpeg has no decoder for."""

_TAGGED_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
"""How Matroska notes the length of one stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoHeader:
    """What is known of a video without decoding more than its first frame.

    Args:
        container: FFmpeg's name of the container format, `mov,mp4,...`.
        codec: Name of the pictures' codec.
        sound_codec: Name of the codec of the sound; empty without sound.
        width: Pixels from left to right as the video is shown, after turning.
        height: Pixels from top to bottom, after turning.
        orientation: EXIF orientation that turns and mirrors frames as coded into frames as shown, 1 to 8.
        seconds: From the beginning of the file to the end of its last frame, above 0.
        origin: Time stamp at the beginning of the file, in seconds; all other times count from it.
        fps: Frames per second on average; 0 if nothing tells.
        frames: Number of frames, or None where the container does not say.
        pixel_format: FFmpeg's name of the pixel format.
        bits: Bits of a channel.
        is_promised: Whether the container says how long the pictures alone last, so that missing ones show.
    """

    container: str
    codec: str
    sound_codec: str
    width: int
    height: int
    orientation: int
    seconds: float
    origin: float
    fps: float
    frames: int | None
    pixel_format: str
    bits: int
    is_promised: bool

    @property
    def has_sound(self) -> bool:
        """Whether there is a stream of sound."""
        return bool(self.sound_codec)


def probe_video(raw: Raw, limits: Limits) -> VideoHeader:
    """Read the header of a video file, and decode its first frame, which alone knows how it has to be turned.

    The limits on bytes, pixels and seconds are checked before that frame is decoded. A container that does not know how long
    it lasts is read to its end, without decoding; so is an MPEG stream, for which FFmpeg only guesses.

    Raises:
        Rejection: The file is no video that is read, damaged, or over a limit.
    """
    if raw.size > limits.video_bytes:
        raise Rejection(RejectReason.TOO_MANY_BYTES, f"{raw.size} bytes are over {limits.video_bytes}")
    with opened(raw) as video:
        _check_pixels(video.stream.width, video.stream.height, limits)
        seconds, is_promised = _seconds(video, limits)
        first = _first_frame(video, limits)
        turn = orientation(first)
        rate = video.stream.average_rate or video.stream.guessed_rate
        return VideoHeader(
            container=video.container.format.name,
            codec=video.stream.codec_context.name,
            sound_codec=_sound_codec(video.container),
            width=first.height if turn >= 5 else first.width,
            height=first.width if turn >= 5 else first.height,
            orientation=turn,
            seconds=seconds,
            origin=(first.pts or 0) * video.tick if video.container.format.name == UNORDERED else video.origin,
            fps=float(rate) if rate else 0.0,
            frames=video.stream.frames or None,
            pixel_format=first.format.name,
            bits=max(component.bits for component in first.format.components),
            is_promised=is_promised,
        )


def decoder_options(limits: Limits) -> dict[str, str]:
    """Return how decoders are opened: they report damage where they would paint it over, and refuse larger pictures."""
    return {"err_detect": "explode", "max_pixels": str(limits.pixels)}


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise Rejection(RejectReason.TOO_MANY_PIXELS, f"{width}x{height} is over {limits.pixels} pixels")


def _sound_codec(container: InputContainer) -> str:
    """Return the name of the codec of the sound, or nothing if there is no sound."""
    best = container.streams.best("audio")
    sound = best if isinstance(best, AudioStream) else next(iter(container.streams.audio), None)
    if sound is None:
        return ""
    return sound.codec_context.name if sound.codec_context is not None else UNKNOWN_CODEC


def _seconds(video: OpenVideo, limits: Limits) -> tuple[float, bool]:
    """Return how long the pictures last, and whether the container says so of them alone."""
    is_guess = video.container.format.name in UNINDEXED
    own = None if is_guess else _own_end(video)
    whole = None if is_guess else video.container.duration
    if own is not None and own - video.origin > 0:
        seconds, is_promised = own - video.origin, True
    elif whole is not None and whole > 0:
        seconds, is_promised = whole / av.time_base, False
    else:
        seconds, is_promised = _scanned_end(video) - video.origin, False
    if not seconds > 0:
        raise Rejection(RejectReason.CORRUPT_VIDEO, f"the file claims to last {seconds:g} s")
    if seconds > limits.video_seconds:
        raise Rejection(
            RejectReason.TOO_LONG, f"the file claims to last {seconds:g} s, over {limits.video_seconds:g} s"
        )
    return seconds, is_promised


def _own_end(video: OpenVideo) -> float | None:
    """Return the end of the stream of pictures in its own time, as the container gives it."""
    stream = video.stream
    if video.container.format.name == UNORDERED and stream.frames:
        return stream.frames * video.tick  # FFmpeg shortens the duration of a file that is cut off
    if stream.duration is not None:
        return ((stream.start_time or 0) + stream.duration) * video.tick
    told = _TAGGED_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if told is None:
        return None
    hours, minutes, seconds = told.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _scanned_end(video: OpenVideo) -> float:
    """Return the end of the last frame, in the time of the stream, after reading all packets."""
    rate = video.stream.average_rate
    usual = 1 / float(rate) if rate else 0.0
    end = video.origin
    for packet in video.container.demux(video.stream):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = max(end, stamp * video.tick + (packet.duration * video.tick if packet.duration else usual))
    if end <= video.origin:
        raise Rejection(RejectReason.CORRUPT_VIDEO, "there is no frame in the file")
    rewind(video, None)
    return end


def _first_frame(video: OpenVideo, limits: Limits) -> VideoFrame:
    video.stream.codec_context.options = decoder_options(limits)
    video.stream.codec_context.thread_count = 1
    has_begun = False
    for packet in video.container.demux(video.stream):
        has_begun = has_begun or packet.is_keyframe or packet.size == 0
        for frame in packet.decode() if has_begun else []:
            return frame
    raise Rejection(RejectReason.CORRUPT_VIDEO, "there is no frame in the file")
