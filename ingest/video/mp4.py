"""Clips as mp4: the packets of the file where that is exact, a new encoding where it is not. Neither keeps any metadata."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ingest.raw import Raw
from ingest.video.colours import UPRIGHT, Pixels
from ingest.video.container import opened
from ingest.video.frame_reader import ShownFrame
from ingest.video.header import VideoHeader

_CLOCK = 90_000
"""Time stamps of encoded pictures count in 1/90000 s, as MPEG does: exact for every usual frame rate."""
_X264 = {"crf": "18", "preset": "medium", "threads": "1"}
"""Near to what the eye can tell from the original; one thread, because the number of threads changes the bytes."""
_BIT_EXACT = {"fflags": "+bitexact"}
_AAC_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_BIT_RATE = 192_000
"""A channel; with FFmpeg's usual 64 to 128 kbit/s, a loud tone comes back at twice its level."""
_AAC_FRAME = 1024
_SMPTE170M = 6
_LIMITED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Sound that begins with the pictures: float32 of shape (channels, samples), full scale 1, `rate` samples a second."""

    samples: npt.NDArray[np.float32]
    rate: int


def is_copied(header: VideoHeader, sound: Sound | None, image_size: int | None) -> bool:
    """Tell whether the packets of a whole video can be stored as they are.

    They have to be what every reader of stored clips expects: upright 8-bit H.264 with time stamps, no larger than wanted,
    and AAC if there is `sound` to be kept.
    """
    is_plain = (
        header.codec == "h264" and header.pixel_format in ("yuv420p", "yuvj420p") and header.orientation == UPRIGHT
    )
    is_mp4 = header.container.startswith("mov")  # others round their times or leave some out
    is_small = image_size is None or min(header.width, header.height) <= image_size
    return is_plain and is_mp4 and is_small and (sound is None or header.sound_codec == "aac")


def copied(raw: Raw, sound: Sound | None) -> bytes | None:
    """Return the pictures of a file, and its sound if there is `sound` to be kept, as mp4, packet by packet.

    None if an edit list cuts some of the pictures away.
    """
    with opened(raw) as video, _new_mp4() as (buffer, target):
        heard = video.container.streams.best("audio") if sound is not None else None
        streams: dict[int, VideoStream | AudioStream] = {
            video.stream.index: target.add_stream_from_template(video.stream)
        }
        if isinstance(heard, AudioStream):
            streams[heard.index] = target.add_stream_from_template(heard)
        for stream in streams.values():
            stream.metadata.clear()
        for packet in video.container.demux():
            if packet.is_discard and packet.stream_index == video.stream.index:
                return None
            if packet.stream_index in streams and packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
        target.close()
        return buffer.getvalue()


def encoded(frames: Iterable[ShownFrame], sound: Sound | None, *, start: float, fps: float) -> bytes:
    """Encode frames as H.264, each at its own time, and sound as AAC.

    Sides are made even by leaving out the last row or column. Colours are limited-range BT.601, and say so. Equal frames give
    equal bytes on one kind of processor.

    Args:
        frames: In order; all of one size.
        sound: What begins at `start`, if there is any. More than two channels are mixed to one.
        start: Seconds from the beginning of the video to that of the clip; a frame from before appears with the clip.
        fps: Frames per second on average, which guides the encoder; 0 if unknown.
    """
    with _new_mp4() as (buffer, target):
        pictures = target.add_stream("libx264", rate=Fraction(fps or 25).limit_denominator(1001), options=_X264)
        audio = _sound_stream(target, sound) if sound is not None else None
        for number, frame in enumerate(_coded(frames, start)):
            if number == 0:
                _set_up(pictures, frame)
            target.mux(pictures.encode(frame))
        target.mux(pictures.encode(None))
        if audio is not None and sound is not None:
            for chunk in _chunks(sound, audio):
                target.mux(audio.encode(chunk))
            target.mux(audio.encode(None))
        target.close()
        return buffer.getvalue()


@contextmanager
def _new_mp4() -> Iterator[tuple[io.BytesIO, OutputContainer]]:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options=_BIT_EXACT) as target:
        yield buffer, target


def _set_up(stream: VideoStream, frame: VideoFrame) -> None:
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, _CLOCK)
    context.colorspace = context.color_primaries = context.color_trc = _SMPTE170M
    context.color_range = _LIMITED


def _coded(frames: Iterable[ShownFrame], start: float) -> Iterator[VideoFrame]:
    reformatter = VideoReformatter()
    for frame in frames:
        yield _yuv(frame.pixels, reformatter, stamp=round(max(0.0, frame.time - start) * _CLOCK))


def _yuv(pixels: Pixels, reformatter: VideoReformatter, *, stamp: int) -> VideoFrame:
    frame = reformatter.reformat(
        VideoFrame.from_ndarray(_even(pixels), format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
    frame.pts, frame.time_base = stamp, Fraction(1, _CLOCK)
    return frame


def _even(pixels: Pixels) -> Pixels:
    """Leave out the last row and column of odd sides; a side of one pixel becomes two."""
    height, width = pixels.shape[:2]
    pixels = np.pad(pixels, ((0, height == 1), (0, width == 1), (0, 0)), mode="edge")
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[: height - height % 2, : width - width % 2])


def _sound_stream(target: OutputContainer, sound: Sound) -> AudioStream:
    """Add a stream at the lowest rate of AAC that loses nothing, or 48 kHz, beyond which FFmpeg's encoder is poor."""
    rate = next((rate for rate in _AAC_RATES if rate >= sound.rate), _AAC_RATES[-1])
    layout = "stereo" if len(sound.samples) == 2 else "mono"
    stream = target.add_stream("aac", rate=rate, layout=layout, options={"flags": "+bitexact"})
    stream.bit_rate = _AAC_BIT_RATE * (2 if layout == "stereo" else 1)
    return stream


def _chunks(sound: Sound, stream: AudioStream) -> Iterator[AudioFrame]:
    """Yield the sound in frames of the size, rate and channels of the encoder."""
    samples = sound.samples if len(sound.samples) <= 2 else sound.samples.mean(axis=0, keepdims=True)
    layout = "stereo" if len(samples) == 2 else "mono"
    resampler = AudioResampler(format="fltp", layout=layout, rate=stream.rate, frame_size=_AAC_FRAME)
    for first in range(0, samples.shape[1], sound.rate):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, first : first + sound.rate]), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, first, Fraction(1, sound.rate)
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
