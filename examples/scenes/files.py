"""Scenes as files: `<class>/<name>.<suffix>`, the modalities of a scene sharing the stem."""

import importlib
import importlib.util
import io
import wave
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .captions import caption
from .pictures import depth, points, render_image, segmentation, video
from .scene import Scene, label, scene_for
from .shapes import Floats
from .sounds import SAMPLE_RATE, sound

JPEG_QUALITY = 92
FRAMES_PER_SECOND = 12


class WorldError(Exception):
    """What was asked for cannot be written; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """The suffix of a modality's files and how one is made from a scene and a picture size in pixels."""

    suffix: str
    encode: Callable[[Scene, int], bytes]


def _jpeg(scene: Scene, size: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(render_image(scene, size=size)).save(data, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return data.getvalue()


def _png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return data.getvalue()


def ply(cloud: Floats) -> bytes:
    """Points [n, 6] as a binary little-endian PLY of float32 x y z (metres) and red green blue (0 to 1)."""
    properties = "".join(f"property float {name}\n" for name in ("x", "y", "z", "red", "green", "blue"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud)}\n{properties}end_header\n"
    return header.encode("ascii") + cloud.astype("<f4").tobytes()


def wav(samples: Floats) -> bytes:
    """Mono samples within -1 and 1 as a 16-bit, 16 kHz WAV."""
    data = io.BytesIO()
    with wave.open(data, "wb") as sheet:
        sheet.setnchannels(1)
        sheet.setsampwidth(2)
        sheet.setframerate(SAMPLE_RATE)
        sheet.writeframes(_pcm(samples).tobytes())
    return data.getvalue()


def _pcm(samples: Floats) -> NDArray[np.int16]:
    return np.rint(32767 * samples).astype("<i2")


def _mp4(scene: Scene, size: int) -> bytes:
    """H.264 and AAC, picture and sound starting together; on one thread, so that the bytes are always the same."""
    av = importlib.import_module("av")
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        pictures = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "20", "threads": "1"})
        pictures.width = pictures.height = size
        pictures.pix_fmt = "yuv420p"
        heard = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for pixels in video(scene, size=size, frames_per_second=FRAMES_PER_SECOND):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(pictures.encode())
        samples = av.AudioFrame.from_ndarray(_pcm(sound(scene))[None], format="s16", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(heard.encode(samples))
        container.mux(heard.encode())
    return data.getvalue()


MODALITIES: Mapping[str, Modality] = {
    "image": Modality(suffix="jpg", encode=_jpeg),
    "text": Modality(suffix="txt", encode=lambda scene, _: f"{caption(scene)}\n".encode()),
    "label": Modality(suffix="cls", encode=lambda scene, _: label(scene).encode()),
    "depth": Modality(suffix="depth.png", encode=lambda scene, size: _png(depth(scene, size=size))),
    "segmentation": Modality(
        suffix="segmentation.png", encode=lambda scene, size: _png(segmentation(scene, size=size))
    ),
    "points": Modality(suffix="ply", encode=lambda scene, _: ply(points(scene))),
    "audio": Modality(suffix="wav", encode=lambda scene, _: wav(sound(scene))),
    "video": Modality(suffix="mp4", encode=_mp4),
}


def write_world(root: Path, *, seed: int, scenes: int, modalities: Collection[str], size: int) -> Iterator[Path]:
    """Write scenes 0 to scenes - 1 of a seed under an empty or new folder; yields the stem of each when it is done.

    Raises WorldError before anything is written when the folder is in use, or video is asked for and impossible.
    """
    if root.exists() and any(root.iterdir()):
        raise WorldError(f"{root} is not empty; two worlds in one folder would mix. Name a new folder, or empty it.")
    if "video" in modalities:
        _check_video(size)
    for index in range(scenes):
        scene = scene_for(seed, index)
        stem = root / label(scene) / f"scene-{index:06d}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for name in modalities:
            made = MODALITIES[name]
            stem.with_name(f"{stem.name}.{made.suffix}").write_bytes(made.encode(scene, size))
        yield stem


def _check_video(size: int) -> None:
    if importlib.util.find_spec("av") is None:
        raise WorldError(
            "video needs PyAV, which is not installed: pip install av, or leave video out of --modalities."
        )
    if size % 2:
        raise WorldError(f"video needs an even --size (H.264 halves the colours), got {size}: take {size + 1}.")
