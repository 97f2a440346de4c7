"""Frames through PyAV: exact by time stamp, and nothing decoded or converted that no wanted frame needs.

A first pass lists the packets, which costs a few per cent of decoding them. The second one decodes on one thread from the
keyframe before, passes over groups of pictures without a wanted frame, and where the codec allows it over frames that no
other refers to. Only wanted frames become RGB. So H.264 with B-frames is read faster than by decoding every frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import Limits
from ingest.video.colours import Pixels, upright
from ingest.video.container import UNORDERED, OpenVideo, opened, rewind, said
from ingest.video.header import VideoHeader, decoder_options
from ingest.video.timeline import Need, Timeline, list_packets, shown_at, stamp_at, stamp_from, stamp_of
from shards.schema import RejectReason

_SKIPS_UNREFERENCED = ("h264", "mpeg4")
"""Codecs whose decoders leave out frames that no other refers to, and change nothing else by it."""
_PROGRESSIVE = 1
_TRUSTED_KEYS = ("mov", "matroska")
"""Containers that tell keyframes from others; in the rest, every frame from the first keyframe on is decoded."""
_Choice = Callable[[OpenVideo, Sequence[int]], list[int]]
"""Picks time stamps out of those of all frames, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFrame:
    """A frame as it is shown.

    Args:
        time: When it appears, in seconds from the beginning of the video.
        pixels: uint8 RGB of shape (height, width, 3), upright.
    """

    time: float
    pixels: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """A frame before it becomes RGB, with the time at which it appears, in seconds from the beginning of the video."""

    time: float
    frame: VideoFrame


@dataclass(frozen=True, slots=True)
class FrameReader:
    """Reads the frames of a file whose header is known."""

    raw: Raw
    header: VideoHeader
    limits: Limits

    def shown_at(self, times: Sequence[float], *, end: float) -> Iterator[ShownFrame]:
        """Yield the frames on the screen at ascending `times`, in seconds from the beginning of the video, each only once.

        Before the first frame, the first counts as shown; after the last, the last. `end` is the moment up to which the
        file has to hold frames.

        Raises:
            Rejection: The file is damaged where one of these frames needs it, or its frames stop long before `end`.
        """

        def chosen(video: OpenVideo, frames: Sequence[int]) -> list[int]:
            return shown_at(frames, [stamp_at(video, self.header, time) for time in times])

        return shown(self._read(times[0], end, chosen))

    def every(self, start: float, end: float) -> Iterator[DecodedFrame]:
        """Yield all frames on the screen from `start` to `end`, in seconds; the first may have appeared before."""

        def chosen(video: OpenVideo, frames: Sequence[int]) -> list[int]:
            (first,) = shown_at(frames, [stamp_at(video, self.header, start)])
            last = stamp_from(video, self.header, end) if end < self.header.seconds else math.inf
            return [stamp for stamp in frames if first <= stamp and (stamp < last or stamp == first)]

        return self._read(start, end, chosen)

    def _read(self, start: float, end: float, chosen: _Choice) -> Iterator[DecodedFrame]:
        """Read the chosen frames, and if the container is wrong about its keyframes, the rest of them from the beginning."""
        given = -math.inf
        for begin, needs_of in ((start, _thrifty), (0.0, _everything)):
            try:
                with self._open() as video:
                    timeline = list_packets(video, self.header, begin, end, most_frames=self.limits.video_frames)
                    stamps = chosen(video, timeline.frames())
                    for decoded in self._decoded(video, timeline, stamps, needs_of(video, timeline, stamps)):
                        if decoded.time > given:
                            given = decoded.time
                            yield decoded
                return
            except _FalseKeyframeError:
                continue
            except av.FFmpegError as error:
                place = f"after the frame at {given:.3f} s" if given >= 0 else "before the first wanted frame"
                raise Rejection(RejectReason.CORRUPT_VIDEO, f"{place}: {said(error)}") from error

    @contextmanager
    def _open(self) -> Iterator[OpenVideo]:
        with opened(self.raw) as video:
            video.stream.codec_context.options = decoder_options(self.limits)
            video.stream.codec_context.thread_count = 1
            if self.header.is_promised:
                video.discard_others()
            yield video

    def _decoded(
        self, video: OpenVideo, timeline: Timeline, stamps: Sequence[int], needs: Sequence[Need]
    ) -> Iterator[DecodedFrame]:
        packets = _decoded_packets(video, timeline, needs)
        frames = _in_order(packets, timeline) if self.header.container == UNORDERED else _stamped(packets)
        for stamp, frame in _on_screen(frames, stamps):
            time = stamp * video.tick - self.header.origin
            if frame.is_corrupt:
                raise Rejection(RejectReason.CORRUPT_VIDEO, f"the frame at {time:.3f} s is damaged")
            yield DecodedFrame(time=time, frame=frame)


def shown(frames: Iterable[DecodedFrame]) -> Iterator[ShownFrame]:
    """Make frames RGB and upright.

    Raises:
        Rejection: Their pixels have no meaning in RGB, or they are shown tilted.
    """
    for decoded in frames:
        yield ShownFrame(time=decoded.time, pixels=upright(decoded.frame))


class _FalseKeyframeError(Exception):
    """Decoding was to begin at a frame that the container calls a keyframe, but that is none."""


def _thrifty(video: OpenVideo, timeline: Timeline, stamps: Sequence[int]) -> list[Need]:
    """Tell for every packet of the timeline how much of it has to be decoded for the frames at `stamps`."""
    context = video.stream.codec_context
    if not set(_TRUSTED_KEYS) & set(video.container.format.name.split(",")):
        return _everything(video, timeline, stamps)
    needs = timeline.needs(frozenset(stamps))
    if context.name in _SKIPS_UNREFERENCED and context.field_order == _PROGRESSIVE:
        return needs
    return [Need.FRAME if need is Need.REFERENCES else need for need in needs]


def _everything(video: OpenVideo, timeline: Timeline, stamps: Sequence[int]) -> list[Need]:
    return [Need.FRAME] * len(timeline.stamps)


def _decoded_packets(video: OpenVideo, timeline: Timeline, needs: Sequence[Need]) -> Iterator[VideoFrame]:
    """Decode the packets of a timeline, as far as they are needed, in the order of display."""
    context = video.stream.codec_context
    is_leap = timeline.sought is not None
    pairs = zip(_packets(video, timeline), needs, strict=False)
    for is_needed, run in groupby(pairs, key=lambda pair: pair[1] is not Need.NOTHING):
        if is_needed and is_leap:
            yield from _from_keyframe(_decoded_run(context, run))
        elif is_needed:
            yield from _decoded_run(context, run)
        is_leap = True


def _decoded_run(context: VideoCodecContext, run: Iterable[tuple[Packet[VideoStream], Need]]) -> Iterator[VideoFrame]:
    if context.is_open:
        context.flush_buffers()
    for packet, need in run:
        if need is Need.LEFT_OUT:
            continue
        context.skip_frame = "DEFAULT" if need is Need.FRAME else "NONREF"
        yield from context.decode(packet)
    yield from context.decode(None)


def _from_keyframe(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    first = next(frames, None)
    if first is None or not first.key_frame:
        raise _FalseKeyframeError
    yield first
    yield from frames


def _packets(video: OpenVideo, timeline: Timeline) -> Iterator[Packet[VideoStream]]:
    """Read the packets of a timeline again."""
    rewind(video, timeline.sought)
    is_begun = timeline.sought is None
    for packet in video.container.demux(video.stream):
        is_begun = is_begun or packet.is_keyframe
        if is_begun and packet.size and stamp_of(packet) is not None:
            yield packet


def _stamped(frames: Iterator[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
    for frame in frames:
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is None:
            raise Rejection(RejectReason.CORRUPT_VIDEO, "a frame comes without a time")
        yield stamp, frame


def _in_order(frames: Iterator[VideoFrame], timeline: Timeline) -> Iterator[tuple[int, VideoFrame]]:
    """Give the frames, which come in the order of display, the time stamps in order, from that of the keyframe on."""
    stamps = [stamp for stamp in timeline.frames() if stamp >= timeline.stamps[0]]
    return zip(stamps, frames, strict=False)


def _on_screen(frames: Iterator[tuple[int, VideoFrame]], stamps: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the frame with each of the ascending time stamps, once, or the one before where the stamp has no frame.

    Frames that are never shown, as VP8 and VP9 have them, have packets and stamps as well.
    """
    waiting = deque(dict.fromkeys(stamps))
    before: tuple[int, VideoFrame] | None = None
    given = None
    for stamped in frames:
        while waiting and stamped[0] >= waiting[0]:
            shown = stamped if stamped[0] == waiting.popleft() or before is None else before
            if shown is not given:
                yield shown
            given = shown
        if not waiting:
            return
        before = stamped
    if before is None:
        raise Rejection(RejectReason.CORRUPT_VIDEO, "no frame can be decoded")
    if before is not given:
        yield before
