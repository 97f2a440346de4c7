"""A video, or a piece of it, as the fields of a sample: frames or an mp4 clip, and its sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import simplejpeg

from ingest.audio import store_sound
from ingest.audio_pyav import decode_with_pyav
from ingest.declared import sound_name
from ingest.images import check_size, shrink
from ingest.perceptual import grey_contrast, perceptual_hash
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import AudioStore, Filters, IngestSettings, VideoStore
from ingest.stored import StoredField
from ingest.video.clips import middles
from ingest.video.colours import Pixels
from ingest.video.frame_reader import DecodedFrame, FrameReader, ShownFrame, shown
from ingest.video.header import UNKNOWN_CODEC, VideoHeader, probe_video
from ingest.video.mp4 import Sound, copied, encoded, is_copied
from pipelines.transforms.frames import read_clip
from pipelines.transforms.image import decode_image
from shards.schema import RejectReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of a video: where it begins and ends, in seconds from the beginning, and whether it is all there is."""

    start: float
    end: float
    is_whole: bool

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


def store_video(
    raw: Raw, name: str, settings: IngestSettings, *, start_s: float | None, end_s: float | None
) -> list[StoredField]:
    """Turn a video file, or a piece of it, into the field `name` and the fields of its sound.

    Frames are the ones on the screen at the middle of equal parts of the piece, each stored once, so a piece with fewer
    distinct frames gives fewer. Their times, like those of all frames of an mp4 clip, count from the beginning of the piece; a
    frame that was on the screen already is there at 0. Sound begins with the piece, with silence where it is late.

    Args:
        raw: The file.
        name: Name of the field of pictures; its sound is called `audio` and `logmel`, or `<name>_audio` and `<name>_logmel`.
        settings: How pictures and sound are stored, filtered and bounded.
        start_s: Where the piece begins, in seconds; None for the beginning.
        end_s: Where it ends; None for the end. What lies behind the end of the video is not missed.

    Raises:
        Rejection: The file is no video that is read, damaged, over a limit, or refused by a filter; its sound cannot be read;
            or the piece is not in it.
    """
    header = probe_video(raw, settings.limits)
    span = _span(header, start_s, end_s)
    check_size(header.width, header.height, settings.filters)
    _check_length(span, settings.filters)
    sound = _sound(raw, header, start_s=span.start, end_s=end_s, settings=settings)
    reader = FrameReader(raw, header, settings.limits)
    if settings.video.store is VideoStore.FRAMES:
        pictures = _frames(reader, name, span, settings)
    else:
        pictures = _clip(reader, name, span, settings, sound)
    if sound is None:
        return [pictures]
    return [pictures, *store_sound(sound.samples, sound.rate, start=0.0, name=sound_name(name), settings=settings)]


def _span(header: VideoHeader, start_s: float | None, end_s: float | None) -> Span:
    start = start_s or 0.0
    end = header.seconds if end_s is None else min(end_s, header.seconds)
    if start < 0 or end <= start:
        asked = f"from {start:g} s to {'the end' if end_s is None else f'{end_s:g} s'}"
        raise Rejection(RejectReason.TOO_SHORT, f"the piece {asked} is not in a video of {header.seconds:.3f} s")
    return Span(start=start, end=end, is_whole=start == 0 and end == header.seconds)


def _check_length(span: Span, filters: Filters) -> None:
    if filters.min_seconds is not None and span.seconds < filters.min_seconds:
        raise Rejection(RejectReason.TOO_SHORT, f"{span.seconds:.3f} s; the least is {filters.min_seconds:g} s")
    if filters.max_seconds is not None and span.seconds > filters.max_seconds:
        raise Rejection(RejectReason.TOO_LONG, f"{span.seconds:.3f} s; the most is {filters.max_seconds:g} s")


def _sound(
    raw: Raw, header: VideoHeader, *, start_s: float, end_s: float | None, settings: IngestSettings
) -> Sound | None:
    if not header.has_sound or settings.audio.store is AudioStore.NONE:
        return None
    if header.sound_codec == UNKNOWN_CODEC:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, "the sound is of a codec that is not read")
    with raw.open() as file:
        samples, rate = decode_with_pyav(file, start_s=start_s, end_s=end_s, limits=settings.limits)
    return Sound(samples=samples, rate=rate) if samples.shape[1] else None


def _frames(reader: FrameReader, name: str, span: Span, settings: IngestSettings) -> StoredField:
    members: list[bytes] = []
    times: list[float] = []
    filters = settings.filters
    is_blank = filters.blank_contrast is not None
    wanted = middles(span.start, span.end, settings.video.frames)
    for frame in _of_one_size(reader.shown_at(wanted, end=span.end)):
        pixels = shrink(frame.pixels, settings.image_size)
        is_blank = is_blank and _is_blank(pixels, filters)
        members.append(_jpeg(pixels, settings.jpeg_quality))
        times.append(_time(frame, span))
    if is_blank:
        raise _blank(len(members), filters)
    look = decode_image(members[len(members) // 2])
    facts = _facts(look, times, span, reader.header) | {"starts": [], "sizes": []}
    return StoredField(name=name, kind="frames", data=tuple(members), extension="jpg", facts=facts)


def _clip(reader: FrameReader, name: str, span: Span, settings: IngestSettings, sound: Sound | None) -> StoredField:
    data, times = _copied(reader, span, settings, sound) or _encoded(reader, span, settings, sound)
    parts, filters = settings.video.frames, settings.filters
    pictures = read_clip(data, sorted({(2 * part + 1) * len(times) // (2 * parts) for part in range(parts)}))
    if filters.blank_contrast is not None and all(_is_blank(picture, filters) for picture in pictures):
        raise _blank(len(pictures), filters)
    facts = _facts(pictures[len(pictures) // 2], times, span, reader.header)
    return StoredField(name=name, kind="clip", data=data, extension="mp4", facts=facts)


def _copied(
    reader: FrameReader, span: Span, settings: IngestSettings, sound: Sound | None
) -> tuple[bytes, list[float]] | None:
    """Return a whole video as it is and the times of its frames, or None if it has to be encoded again.

    All frames are decoded once, to see that they can be.
    """
    can_stay = span.is_whole and is_copied(reader.header, sound, settings.image_size)
    data = copied(reader.raw, sound) if can_stay else None
    return None if data is None else (data, [_time(frame, span) for frame in reader.every(span.start, span.end)])


def _encoded(
    reader: FrameReader, span: Span, settings: IngestSettings, sound: Sound | None
) -> tuple[bytes, list[float]]:
    times: list[float] = []

    def small() -> Iterator[ShownFrame]:
        for frame in _of_one_size(shown(reader.every(span.start, span.end))):
            times.append(_time(frame, span))
            yield ShownFrame(time=frame.time, pixels=shrink(frame.pixels, settings.image_size))

    data = encoded(small(), sound, start=span.start, fps=reader.header.fps)
    return data, times


def _of_one_size(frames: Iterable[ShownFrame]) -> Iterator[ShownFrame]:
    shape: tuple[int, ...] | None = None
    for frame in frames:
        shape = shape or frame.pixels.shape
        if frame.pixels.shape != shape:
            before, after = (f"{size[1]}x{size[0]}" for size in (shape, frame.pixels.shape))
            raise Rejection(
                RejectReason.UNSUPPORTED_PIXELS, f"the pictures change from {before} to {after} at {frame.time:.3f} s"
            )
        yield frame


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    encoded_frame: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420")
    return encoded_frame


def _is_blank(pixels: Pixels, filters: Filters) -> bool:
    return filters.blank_contrast is not None and grey_contrast(pixels) < filters.blank_contrast


def _blank(frames: int, filters: Filters) -> Rejection:
    return Rejection(
        RejectReason.BLANK_PICTURE,
        f"in all {frames} frames looked at, grey levels have a standard deviation below {filters.blank_contrast:g}",
    )


def _time(frame: ShownFrame | DecodedFrame, span: Span) -> float:
    return max(0.0, frame.time - span.start)


def _facts(look: Pixels, times: Sequence[float], span: Span, header: VideoHeader) -> dict[str, Any]:
    """Return the facts of stored pictures, of which `look` is the middle one."""
    return {
        "width": look.shape[1],
        "height": look.shape[0],
        "phash": perceptual_hash(look),
        "contrast": grey_contrast(look),
        "count": len(times),
        "start": span.start,
        "seconds": span.seconds,
        "fps": header.fps,
        "times": list(times),
    }
