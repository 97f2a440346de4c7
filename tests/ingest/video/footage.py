"""Videos made from numbers: every frame shows its own number in black and white bars, which survives any codec."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_BITS = 8
_CLOCK = 1000


def bars(number: int, *, width: int = 64, height: int = 48) -> Pixels:
    """Return the frame with this number (0 to 255): a white edge on the left, then 8 bars for its bits, coarse ones first."""
    columns = np.arange(width) * (_BITS + 1) // width
    bits = np.array([1, *(number >> bit & 1 for bit in reversed(range(_BITS)))], np.uint8)
    shade = np.linspace(0, 20, height).astype(np.uint8)[:, None]
    grey = np.where(bits[columns], 235 - shade, 20 + shade).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def number_of(pixels: Pixels) -> int:
    """Return the number that a frame shows; upright only."""
    height, width = pixels.shape[:2]
    centres = [(2 * bar + 1) * width // (2 * (_BITS + 1)) for bar in range(_BITS + 1)]
    bits = [pixels[height // 4 : -height // 4, centre].mean() > 128 for centre in centres]
    assert bits[0], "the white edge is not on the left"
    return sum(int(bit) << (_BITS - place) for place, bit in enumerate(bits[1:], start=1))


def tone(seconds: float, *, rate: int = 22_050, channels: int = 1, hertz: float = 440) -> npt.NDArray[np.float32]:
    """Return a sine wave of half the full scale, (channels, samples)."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def film(
    frames: Sequence[Pixels] | int,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    times: Sequence[float] | None = None,
    rate: int = 25,
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    colours: Mapping[str, int] | None = None,
    turn: tuple[float, bool] | None = None,
    sound: npt.NDArray[np.float32] | None = None,
    sound_codec: str = "aac",
    sound_start: float = 0.0,
    sound_rate: int = 22_050,
    metadata: Mapping[str, str] | None = None,
    muxing: Mapping[str, str] | None = None,
) -> bytes:
    """Return a video file.

    Args:
        frames: Upright-as-coded RGB frames, or how many numbered ones.
        times: Seconds at which frames appear, for a variable rate; they may be negative.
        colours: Fields of the codec context that say what the colours mean.
        turn: Degrees and mirroring of the display matrix.
        sound: (channels, samples), from `sound_start` on.
    """
    pictures = [bars(number % 256) for number in range(frames)] if isinstance(frames, int) else frames
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=dict(muxing or {})) as target:
        target.metadata.update(metadata or {})
        stream = target.add_stream(codec, rate=rate, options={"threads": "1", **(options or {})})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        if times is not None:
            stream.codec_context.time_base = Fraction(1, _CLOCK)
        for name, value in (colours or {}).items():
            setattr(stream.codec_context, name, value)
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        audio = None
        if sound is not None:
            audio = target.add_stream(sound_codec, rate=sound_rate, layout="stereo" if len(sound) == 2 else "mono")
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=pixel_format, **_meaning(colours), threads=1)
            frame.pts = number if times is None else round(times[number] * _CLOCK)
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, _CLOCK)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
        if audio is not None and sound is not None:
            for chunk in _chunks(sound, sound_rate, sound_start, audio.format.name, audio.codec_context.frame_size):
                target.mux(audio.encode(chunk))
            target.mux(audio.encode(None))
        target.close()
        return buffer.getvalue()


def _meaning(colours: Mapping[str, int] | None) -> dict[str, Any]:
    """Return how `reformat` has to convert so that what the file says of its colours is true."""
    asked = colours or {}
    matrix = {1: 1, 9: 9}.get(asked.get("colorspace", 6), 5)
    return {"dst_colorspace": matrix, "dst_color_range": asked.get("color_range", 1)}


def _chunks(
    sound: npt.NDArray[np.float32], rate: int, start: float, sample_format: str, size: int
) -> list[av.AudioFrame]:
    layout = "stereo" if len(sound) == 2 else "mono"
    resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate, frame_size=size or 1024)
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
    whole.sample_rate, whole.pts, whole.time_base = rate, round(start * rate), Fraction(1, rate)
    return [*resampler.resample(whole), *resampler.resample(None)]
