"""How much CPU it takes to ingest a clip, and to read it in training: maskloom beside bare decoding, decord, and mp4.

    python -m benchmarks.video --clips 8

Every clip is 10 s of 340 x 256 pixels at 30 frames a second, x264 at its usual settings (crf 23, groups of 250 frames) with
AAC sound: a camera that pans and zooms over a photograph. 16 frames of it are wanted. All arms run on one thread.
"""

from __future__ import annotations

import argparse
import functools
import io
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from benchmarks.measure import (
    Arm,
    Costs,
    RatioTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from benchmarks.photographs import write_photographs
from ingest.raw import Raw
from ingest.settings import IngestSettings, Limits, VideoSettings, VideoStore
from ingest.video.clips import middles
from ingest.video.frame_reader import FrameReader
from ingest.video.header import probe_video
from ingest.video.store import store_video
from pipelines.transforms.frames import decode_frames, read_clip

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT, RATE, SECONDS, SOUND_RATE = 340, 256, 30, 10, 44_100
WANTED, QUALITY, TRAINED_SIZE = 16, 90, 224
FRAMES = IngestSettings(image_size=HEIGHT, jpeg_quality=QUALITY, video=VideoSettings(frames=WANTED))
MP4 = IngestSettings(image_size=HEIGHT, video=VideoSettings(frames=WANTED, store=VideoStore.MP4))
PACKAGES = ("maskloom", "av", "decord", "simplejpeg", "torch", "torchvision", "torchaudio", "soundfile", "numpy")
_SEED = 20261121

TARGETS = (
    RatioTarget(claim="ingest: frames / H.264 decode", arm="ingest frames", peer="decode H.264", at_least=0.9),
    RatioTarget(claim="16 frames: PyAV / decord", arm="16 frames, PyAV", peer="16 frames, decord", at_least=1),
    RatioTarget(
        claim="training: stored frames / mp4 by decord", arm="train, stored frames", peer="train, decord", at_least=8
    ),
    RatioTarget(claim="training: mp4 by maskloom / decord", arm="train, stored mp4", peer="train, decord", at_least=1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip: the file with sound, the same without, and the stored frames."""

    sounding: Raw
    silent: Raw
    frames: tuple[bytes, ...]

    @classmethod
    def load(cls, folder: Path, number: int) -> Clip:
        """Read a clip that `write_clips` has written, and store its frames."""
        sounding, silent = (Raw.of(path.read_bytes(), name=path.name) for path in clip_paths(folder, number))
        video, *_ = store_video(silent, "video", FRAMES, start_s=None, end_s=None)
        assert isinstance(video.data, tuple)
        return cls(sounding=sounding, silent=silent, frames=video.data)


def clip_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Return where a clip with sound and the same without stand."""
    return folder / f"{number:03d}.mp4", folder / f"{number:03d}-silent.mp4"


def write_clips(folder: Path, count: int) -> None:
    """Write the clips that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    photographs = write_photographs(folder / "photographs", count)
    missing = [number for number in range(count) if not clip_paths(folder, number)[1].exists()]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        pool.starmap(_write, [(folder, photographs[number], number) for number in missing], chunksize=1)


def _write(folder: Path, photograph: Path, number: int) -> None:
    random = np.random.default_rng([_SEED, number])
    with Image.open(photograph) as image:
        frames = list(_journey(image.convert("RGB"), random))
    sounding, silent = clip_paths(folder, number)
    sounding.write_bytes(_encoded(frames, _noise(random)))
    silent.write_bytes(_encoded(frames, None))


def _journey(image: Image.Image, random: np.random.Generator) -> Sequence[Pixels]:
    """Return what a camera sees that moves from one place and zoom to another and back again."""
    ends = random.uniform([0.55, 0, 0], [0.95, 1, 1], (2, 3))
    shares = (1 - np.cos(np.linspace(0, 2 * np.pi, RATE * SECONDS))) / 2
    views = []
    for scale, across, down in ends[0] + shares[:, None] * (ends[1] - ends[0]):
        width = scale * min(image.width, image.height * WIDTH / HEIGHT)
        height = width * HEIGHT / WIDTH
        left, top = across * (image.width - width), down * (image.height - height)
        view = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        views.append(np.asarray(view))
    return views


def _noise(random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return sound that is neither silent nor simple: chirps in noise."""
    time = np.arange(SOUND_RATE * SECONDS) / SOUND_RATE
    chirps = np.sin(2 * np.pi * (200 + 300 * np.sin(2 * np.pi * 0.7 * time)) * time) * (np.sin(5 * time) > 0)
    return (0.3 * chirps + 0.05 * random.normal(size=len(time))).astype(np.float32)[None]


def _encoded(frames: Sequence[Pixels], sound: npt.NDArray[np.float32] | None) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as target:
        pictures = target.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "medium", "threads": "1"})
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = target.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound is not None else None
        for pixels in frames:
            target.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        target.mux(pictures.encode(None))
        if audio is not None and sound is not None:
            for first in range(0, sound.shape[1], 1024):
                chunk = np.ascontiguousarray(sound[:, first : first + 1024])
                frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, first, Fraction(1, SOUND_RATE)
                target.mux(audio.encode(frame))
            target.mux(audio.encode(None))
        target.close()
        return buffer.getvalue()


def decode_pictures(clip: Clip) -> None:
    """Decode every frame, and make none of them RGB: the bound."""
    with clip.silent.open() as file, av.open(file, "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def decode_both(clip: Clip) -> None:
    """Decode every frame and all sound: the bound of a video with sound."""
    with clip.sounding.open() as file, av.open(file, "r") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for packet in container.demux(video=0, audio=0):
            for _ in packet.decode():
                pass


def ingest(clip: Clip, *, settings: IngestSettings, has_sound: bool) -> None:
    """Turn the clip into fields."""
    store_video(clip.sounding if has_sound else clip.silent, "video", settings, start_s=None, end_s=None)


def read_with_pyav(clip: Clip) -> Pixels:
    """Read the wanted frames as the ingest does, from an unknown file to RGB."""
    header = probe_video(clip.silent, Limits())
    reader = FrameReader(clip.silent, header, Limits())
    shown = reader.shown_at(middles(0, header.seconds, WANTED), end=header.seconds)
    return np.stack([frame.pixels for frame in shown])


def read_with_decord(clip: Clip) -> Pixels:
    """Read the same frames with decord."""
    reader = decord.VideoReader(io.BytesIO(clip.silent.read()), num_threads=1)
    frames: Pixels = reader.get_batch(_indices(len(reader))).asnumpy()
    return frames


def _indices(frames: int) -> list[int]:
    return [(2 * part + 1) * frames // (2 * WANTED) for part in range(WANTED)]


def to_batch(frames: Pixels) -> torch.Tensor:
    """Make frames as large as a model wants them."""
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2)
    small: torch.Tensor = resize(planes, [TRAINED_SIZE], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return small


def train_on_frames(clip: Clip) -> None:
    """Read the stored frames."""
    to_batch(decode_frames(clip.frames))


def train_on_mp4(clip: Clip) -> None:
    """Read the frames out of the stored mp4."""
    to_batch(read_clip(clip.silent.read(), _indices(RATE * SECONDS)))


def train_with_decord(clip: Clip) -> None:
    """Read the frames out of the mp4 with decord."""
    to_batch(read_with_decord(clip))


ARMS: dict[str, Callable[[Clip], object]] = {
    "decode H.264": decode_pictures,
    "ingest frames": functools.partial(ingest, settings=FRAMES, has_sound=False),
    "decode H.264 and AAC": decode_both,
    "ingest frames and sound": functools.partial(ingest, settings=FRAMES, has_sound=True),
    "ingest mp4, copied": functools.partial(ingest, settings=MP4, has_sound=True),
    "16 frames, PyAV": read_with_pyav,
    "16 frames, decord": read_with_decord,
    "train, decord": train_with_decord,
    "train, stored mp4": train_on_mp4,
    "train, stored frames": train_on_frames,
}


def cost(clips: Sequence[Clip], turn: int, *, work: Callable[[Clip], object]) -> float:
    """Return the CPU-seconds of one clip, over all of them."""

    def run() -> int:
        for clip in clips:
            work(clip)
        return len(clips)

    return cpu_per_item(run)


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark the ingest and the reading of video.")
    command.add_argument("--clips", type=int, default=8)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--folder", type=Path, help="folder for the clips; default: a temporary one")
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/video.json"))
    return command.parse_args()


def sizes(clips: Sequence[Clip]) -> dict[str, float]:
    """Return the mean kilobytes of a clip as mp4, with and without sound, and of its stored frames."""
    totals = {
        "mp4 with sound": sum(clip.sounding.size for clip in clips),
        "mp4 without sound": sum(clip.silent.size for clip in clips),
        "frames": sum(len(data) for clip in clips for data in clip.frames),
    }
    return {name: round(total / len(clips) / 1e3, 1) for name, total in totals.items()}


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        write_clips(folder, arguments.clips)
        clips = [Clip.load(folder, number) for number in range(arguments.clips)]
    differences = [np.abs(read_with_pyav(clip).astype(int) - read_with_decord(clip)).max() for clip in clips]
    console.print(f"PyAV and decord differ by at most {max(differences)} of 255 grey levels.", highlight=False)
    console.print(f"Kilobytes of a clip: {sizes(clips)}", highlight=False)
    arms = [Arm(name=name, cost=functools.partial(cost, clips, work=work)) for name, work in ARMS.items()]
    costs: Costs = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    print_costs("Clips of 10 s", costs, reference="decode H.264", console=console)
    print_targets(TARGETS, costs, console)
    settings = {name: str(value) for name, value in vars(arguments).items()} | {"kilobytes": sizes(clips)}
    write_results(arguments.json, costs, targets=TARGETS, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
