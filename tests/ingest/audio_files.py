"""Sounds made from numbers, and files of them in every format, for the tests of ingest."""

import io
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float32]


def tone(seconds: float, rate: int, *, channels: int = 1, hertz: float = 440.0, level: float = 0.25) -> Samples:
    """Return a sine (n, channels), the same in every channel."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def noise(samples: int, *, channels: int = 1, seed: int = 0, level: float = 0.1) -> Samples:
    """Return Gaussian noise (n, channels)."""
    return (level * np.random.default_rng(seed).normal(size=(samples, channels))).astype(np.float32)


def click(seconds: float, rate: int, *, at: float) -> Samples:
    """Return silence (n, 1) with a burst of 5 ms of 1 kHz that is loudest at the moment `at`."""
    time = np.arange(round(seconds * rate)) / rate - at
    return (0.8 * np.cos(2 * np.pi * 1000 * time) * np.exp(-((time / 0.0025) ** 2)))[:, None].astype(np.float32)


def written(samples: npt.NDArray[Any], rate: int, kind: str, subtype: str | None = None) -> bytes:
    """Return a file that libsndfile writes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def muxed(
    samples: Samples,
    rate: int,
    kind: str,
    codec: str,
    *,
    late: float = 0.0,
    hole: tuple[float, float] = (0, 0),
    pictures: int = 0,
) -> bytes:
    """Return a file that FFmpeg writes: container `kind`, sound of `codec`.

    The sound is `late` by some seconds, has a hole in its time stamps, or moving pictures of 10 a second beside it that
    begin at 0.
    """
    buffer = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[samples.shape[1]]
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if pictures:
            film = container.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
            for number in range(pictures):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * number % 255, np.uint8))
                container.mux(film.encode(frame))
            container.mux(film.encode(None))
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout=layout, rate=rate, frame_size=size
        )
        for first in range(0, len(samples), size):
            if hole[0] <= first / rate < hole[1]:
                continue
            piece = np.ascontiguousarray(samples[first : first + size])
            sound = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="flt", layout=layout)
            sound.sample_rate, sound.pts = rate, first + round(late * rate)
            for ready in resampler.resample(sound):
                container.mux(stream.encode(ready))
        for ready in resampler.resample(None):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return buffer.getvalue()
