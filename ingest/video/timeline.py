"""The frames of a stretch of video as their packets announce them, before any is decoded."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Any

from av.packet import Packet

from ingest.rejection import Rejection
from ingest.video.container import UNORDERED, OpenVideo, rewind
from ingest.video.header import VideoHeader
from shards.schema import RejectReason

_STEPS_BACK = (0.0, 1.0, 4.0, 16.0, 64.0)
"""Seconds before the wanted moment at which a keyframe is looked for, one after the other; then the beginning."""
_SLACK_SECONDS = 0.5
_SLACK_FRAMES = 3
_SLACK_GAPS = 1.5
"""Pictures may end this much before the container says so, the largest of the three: the last durations in a file are often
guesses. Gaps are the longest time between two frames, as in a slide show."""

_DEEPEST_REORDERING = 16
"""Frames of one stream that a decoder may have to hold back, by the standard of H.264."""
_TICK_SLACK = 1e-3
"""Ticks by which a moment may miss a time stamp through rounding and still be at it."""


class Need(IntEnum):
    """What has to be done with a packet to get the wanted frames exactly.

    NOTHING: no wanted frame stands on its group of pictures. LEFT_OUT: its group is decoded, but it stands on the group
    before, which is not. REFERENCES: it has to be decoded if others refer to it. FRAME: its frame is wanted.
    """

    NOTHING = 0
    LEFT_OUT = 1
    REFERENCES = 2
    FRAME = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The packets of a stretch of video, in decoding order, from a keyframe on.

    Args:
        stamps: Time stamp of each packet's frame, in ticks of the stream.
        is_key: Whether decoding can begin there.
        is_shown: Whether its frame is shown; those that an edit list cuts away are decoded but not shown.
        sought: Time stamp to seek to in order to read them again, or None for the beginning of the file.
    """

    stamps: Sequence[int]
    is_key: Sequence[bool]
    is_shown: Sequence[bool]
    sought: int | None

    def frames(self) -> list[int]:
        """Return the time stamps of the frames that are shown, in order."""
        return sorted(stamp for stamp, is_shown in zip(self.stamps, self.is_shown, strict=True) if is_shown)

    def needs(self, wanted: Collection[int]) -> list[Need]:
        """Tell for every packet what the frames with the `wanted` time stamps ask of it.

        Groups of pictures without a wanted frame are passed over. A wanted frame that is shown before the keyframe of its
        group stands on the group before as well.
        """
        groups = list(accumulate(self.is_key))
        keys = {group: stamp for group, stamp, is_key in self._in_groups(groups) if is_key}
        needed: set[int] = set()
        for group, stamp, _ in self._in_groups(groups):
            if stamp in wanted:
                needed |= {group, group - 1} if _is_leading(stamp, keys.get(group)) else {group}
        return [
            _need(
                is_wanted=stamp in wanted,
                is_in_group=group in needed,
                is_in_reach=group - 1 in needed or not _is_leading(stamp, keys.get(group)),
            )
            for group, stamp, _ in self._in_groups(groups)
        ]

    def _in_groups(self, groups: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
        return zip(groups, self.stamps, self.is_key, strict=True)


def list_packets(video: OpenVideo, header: VideoHeader, start: float, end: float, *, most_frames: int) -> Timeline:
    """List the packets of the frames between two moments, in seconds from the beginning of the video.

    The list begins at the last keyframe that is shown no later than `start`. The container is left somewhere behind `end`.

    Raises:
        Rejection: There are more than `most_frames`, or none; packets are damaged; the pictures end long before the container
            says they do.
    """
    first = stamp_at(video, header, start)
    for back in _STEPS_BACK:
        sought = stamp_at(video, header, start - back) if start > back else None
        listing = _listed(video, header, sought, end, most_frames=most_frames)
        if sought is None or (listing.stamps and listing.stamps[0] <= first):
            break
    else:
        listing = _listed(video, header, None, end, most_frames=most_frames)
    _check_end(video, header, listing, end)
    return Timeline(stamps=listing.stamps, is_key=listing.is_key, is_shown=listing.is_shown, sought=listing.sought)


def stamp_at(video: OpenVideo, header: VideoHeader, seconds: float) -> int:
    """Return the time stamp of a moment, in ticks of the stream, rounded down."""
    return math.floor((seconds + header.origin) / video.tick + _TICK_SLACK)


def stamp_from(video: OpenVideo, header: VideoHeader, seconds: float) -> int:
    """Return the first time stamp that is not before a moment, in ticks of the stream."""
    return math.ceil((seconds + header.origin) / video.tick - _TICK_SLACK)


def stamp_of(packet: Packet[Any]) -> int | None:
    """Return when the frame of a packet is shown, as far as the container knows: in an AVI, when it is decoded."""
    return packet.pts if packet.pts is not None else packet.dts


@dataclass(slots=True, kw_only=True)
class _Listing:
    sought: int | None
    reached: float
    stamps: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    is_shown: list[bool] = field(default_factory=list)

    def add(self, packet: Packet[Any], stamp: int) -> None:
        self.stamps.append(stamp)
        self.is_key.append(packet.is_keyframe)
        self.is_shown.append(not packet.is_discard)


def _listed(video: OpenVideo, header: VideoHeader, sought: int | None, end: float, *, most_frames: int) -> _Listing:
    listing = _Listing(sought=sought, reached=video.origin)
    # In an AVI, stamps follow the order of decoding, in which a frame stands at most so much behind its place.
    last = stamp_from(video, header, end) + (_DEEPEST_REORDERING if header.container == UNORDERED else 0)
    rewind(video, sought)
    for packet in video.container.demux():
        stamp = stamp_of(packet)
        if stamp is None or packet.size == 0:
            continue
        if not header.is_promised or packet.stream_index == video.stream.index:
            listing.reached = max(listing.reached, (stamp + (packet.duration or 0)) * float(packet.time_base))
        if packet.stream_index != video.stream.index or not (listing.stamps or packet.is_keyframe or sought is None):
            continue
        if packet.is_corrupt:
            raise Rejection(
                RejectReason.CORRUPT_VIDEO, f"the frame at {_seconds(video, header, stamp):.3f} s is cut off"
            )
        if packet.dts is not None and packet.dts >= last and listing.stamps:
            break
        listing.add(packet, stamp)
        if len(listing.stamps) > most_frames:
            raise Rejection(RejectReason.TOO_LONG, f"more than {most_frames} frames would have to be decoded")
    return listing


def _seconds(video: OpenVideo, header: VideoHeader, stamp: int) -> float:
    return stamp * video.tick - header.origin


def _check_end(video: OpenVideo, header: VideoHeader, listing: _Listing, end: float) -> None:
    frames = sorted(listing.stamps)
    if not any(listing.is_shown):
        raise Rejection(RejectReason.CORRUPT_VIDEO, f"there is no frame before {end:.3f} s")
    gap = max((after - before for before, after in pairwise(frames)), default=0) * video.tick
    slack = max(_SLACK_SECONDS, _SLACK_FRAMES / header.fps if header.fps else 0.0, _SLACK_GAPS * gap)
    reached = listing.reached - header.origin
    if reached < min(end, header.seconds) - slack:
        raise Rejection(
            RejectReason.CORRUPT_VIDEO, f"the frames end at {reached:.3f} s; the header says {header.seconds:.3f} s"
        )


def _is_leading(stamp: int, key: int | None) -> bool:
    """Tell whether a frame is shown before the keyframe that it comes after."""
    return key is not None and stamp < key


def _need(*, is_wanted: bool, is_in_group: bool, is_in_reach: bool) -> Need:
    if is_wanted:
        return Need.FRAME
    if not is_in_group:
        return Need.NOTHING
    return Need.REFERENCES if is_in_reach else Need.LEFT_OUT


def shown_at(frames: Sequence[int], ticks: Sequence[float]) -> list[int]:
    """Return which of the time stamps `frames`, in order, is on the screen at each moment.

    Before the first frame, the first is.
    """
    return [frames[max(0, bisect_right(frames, tick) - 1)] for tick in ticks]
