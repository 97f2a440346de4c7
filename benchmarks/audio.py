"""How much CPU it takes to turn sound files into log-mel features and stored fields, beside torchaudio and librosa.

    python -m benchmarks.audio

Everything runs in one process with one thread, on clips of 10 s at 44.1 kHz that are made on the spot and held in memory.
`torchaudio.load` needs torchcodec and the shared libraries of FFmpeg (those in the wheel of PyAV do, linked under their plain
names in a folder of LD_LIBRARY_PATH); where they are missing that arm is left out. A second arm of torchaudio decodes with
soundfile, which is faster than its own loader.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
import torchaudio
from rich.console import Console
from torch import Tensor
from torchaudio.compliance import kaldi

from benchmarks.measure import (
    Arm,
    RatioTarget,
    alternate,
    cpu_per_item,
    make_console,
    print_costs,
    print_targets,
    write_results,
)
from ingest.audio import store_audio
from ingest.audio_resample import resampled, to_pcm
from ingest.audio_soundfile import open_with_soundfile
from ingest.containers import sniff
from ingest.raw import Raw
from ingest.settings import IngestSettings
from pipelines.transforms.logmel import log_mel
from pipelines.transforms.logmel_spec import LogMelSpec

SECONDS, SOURCE_RATE, RATE = 10, 44_100, 16_000
PACKAGES = ("maskloom", "torch", "torchaudio", "torchcodec", "soundfile", "av", "librosa", "numpy")
SPEC = LogMelSpec(rate=RATE)
DIFFERENCE = 2e-4
"""Largest difference from torchaudio's features that is allowed."""
SETTINGS = IngestSettings()
FORMATS = ("FLAC", "MP3")

TARGETS = (
    RatioTarget(claim="features: log_mel / kaldi.fbank", arm="log_mel", peer="kaldi.fbank", at_least=1.5),
    RatioTarget(claim="44.1 to 16 kHz: ours / torchaudio", arm="resampled", peer="Resample, cached", at_least=1.0),
    *(
        RatioTarget(
            claim=f"{kind} to features / {peer}", arm=f"{kind}, ours", peer=f"{kind}, {peer}", at_least=at_least
        )
        for kind in FORMATS
        for peer, at_least in (("torchaudio", 1.5), ("soundfile + torchaudio", 1.5), ("librosa", 2.5))
    ),
)


def make_clip(number: int) -> npt.NDArray[np.float32]:
    """Return 10 s of something between speech and music: syllables of harmonics with pauses, over faint noise."""
    random = np.random.default_rng([20261121, number])
    time = np.arange(SECONDS * SOURCE_RATE) / SOURCE_RATE
    pitch = 2 * np.pi * np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.4 * time + random.uniform(0, 6))) / SOURCE_RATE
    voice = sum(np.sin(order * pitch + random.uniform(0, 6)) / order for order in range(1, 25))
    syllables = np.maximum(0, np.sin(2 * np.pi * random.uniform(2, 4) * time + random.uniform(0, 6))) ** 0.5
    breath = random.normal(size=len(time)) * (0.002 + 0.03 * syllables)
    return (0.15 * voice * syllables + breath).clip(-1, 1).astype(np.float32)


def encoded(clip: npt.NDArray[np.float32], kind: str) -> bytes:
    """Return a clip as a file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip, SOURCE_RATE, format=kind)
    return buffer.getvalue()


def kaldi_features(waveform: Tensor) -> Tensor:
    """Return the features as audio masked autoencoders take them from torchaudio."""
    return kaldi.fbank(
        (waveform - waveform.mean())[None],
        htk_compat=True,
        sample_frequency=RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=SPEC.bins,
        dither=0.0,
        frame_shift=SPEC.hop_ms,
    )


def ours(data: bytes) -> Tensor:
    """Go from a file to features as `store_audio` does, rounding to 16 bits included."""
    container = sniff(data)
    assert container is not None
    pcm = to_pcm(open_with_soundfile(data, container, start_s=None, end_s=None), RATE, seconds=SECONDS + 1)
    return log_mel(torch.from_numpy(pcm).float() / 32768, SPEC)


def torchaudio_chain(
    data: bytes, *, load: Callable[[bytes], Tensor], resample: torchaudio.transforms.Resample
) -> Tensor:
    """Go from a file to features with torchaudio."""
    return kaldi_features(resample(load(data)))


def librosa_chain(data: bytes) -> npt.NDArray[np.float32]:
    """Go from a file to features with librosa; their definition is another one."""
    import librosa  # slow to import, and left out where it is not installed

    samples, _ = librosa.load(io.BytesIO(data), sr=RATE)
    power = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=SPEC.bins)
    return np.log(power + 1e-7)


def load_with_torchaudio(data: bytes) -> Tensor:
    """Decode as torchaudio does, with torchcodec."""
    return torchaudio.load(io.BytesIO(data))[0][0]


def load_with_soundfile(data: bytes) -> Tensor:
    """Decode with libsndfile, in one go."""
    return torch.from_numpy(soundfile.read(io.BytesIO(data), dtype="float32")[0])


def has_torchaudio_loader(data: bytes, console: Console) -> bool:
    """Tell whether `torchaudio.load` runs here; say why not."""
    try:
        load_with_torchaudio(data)
    except (ImportError, OSError, RuntimeError) as error:
        console.print(f"torchaudio.load is left out: {str(error).splitlines()[0]}", highlight=False)
        return False
    return True


def each(work: Callable[[bytes], object], files: Sequence[bytes]) -> Callable[[int], float]:
    """Return a cost function that runs `work` on every file."""
    return lambda _: cpu_per_item(lambda: sum(work(data) is not None for data in files))


def file_arms(kind: str, files: Sequence[bytes], console: Console) -> list[Arm]:
    """Return the ways from a file to features, and what takes part in them."""
    resample = torchaudio.transforms.Resample(SOURCE_RATE, RATE)
    chain = functools.partial(torchaudio_chain, resample=resample)
    works: dict[str, Callable[[bytes], object]] = {
        "ours": ours,
        "soundfile + torchaudio": functools.partial(chain, load=load_with_soundfile),
        "store_audio": lambda data: store_audio(Raw.of(data, name=f"clip.{kind}"), "audio", SETTINGS),
        "decoding alone": load_with_soundfile,
    }
    if has_torchaudio_loader(files[0], console):
        works["torchaudio"] = functools.partial(chain, load=load_with_torchaudio)
    if importlib.util.find_spec("librosa") is not None:
        works["librosa"] = librosa_chain
    return [Arm(name=f"{kind}, {name}", cost=each(work, files)) for name, work in works.items()]


def part_arms(files: Sequence[bytes]) -> list[Arm]:
    """Return the parts by themselves: features of 16 kHz, and the change of rate."""
    resample = torchaudio.transforms.Resample(SOURCE_RATE, RATE)
    loaded = [load_with_soundfile(data) for data in files]
    small = [resample(waveform) for waveform in loaded]

    def over(work: Callable[[Tensor], object], waveforms: Sequence[Tensor]) -> Callable[[int], float]:
        return lambda _: cpu_per_item(lambda: sum(work(waveform) is not None for waveform in waveforms))

    return [
        Arm(name="log_mel", cost=over(lambda waveform: log_mel(waveform, SPEC), small)),
        Arm(name="kaldi.fbank", cost=over(kaldi_features, small)),
        Arm(
            name="resampled", cost=over(lambda waveform: list(resampled([waveform.numpy()], SOURCE_RATE, RATE)), loaded)
        ),
        Arm(name="Resample, cached", cost=over(resample, loaded)),
    ]


def largest_difference(files: Sequence[bytes]) -> float:
    """Return the largest difference between our features and torchaudio's, of the same 16 kHz samples."""
    resample = torchaudio.transforms.Resample(SOURCE_RATE, RATE)
    small = [resample(load_with_soundfile(data)) for data in files]
    return max(float((log_mel(waveform, SPEC) - kaldi_features(waveform)).abs().max()) for waveform in small)


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    command = argparse.ArgumentParser(description="Benchmark the making of log-mel features and stored sound.")
    command.add_argument("--clips", type=int, default=24)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/audio.json"))
    return command.parse_args()


def main() -> None:
    """Measure, print and write everything."""
    arguments, console = parsed_arguments(), make_console()
    torch.set_num_threads(1)
    clips = [make_clip(number) for number in range(arguments.clips)]
    files: Mapping[str, list[bytes]] = {kind: [encoded(clip, kind) for clip in clips] for kind in FORMATS}
    sizes = ", ".join(f"{kind} {sum(map(len, of_kind)) / len(of_kind) / 1e3:.0f} kB" for kind, of_kind in files.items())
    console.print(f"{len(clips)} clips of {SECONDS} s at {SOURCE_RATE} Hz: {sizes} on average.", highlight=False)
    difference = largest_difference(files["FLAC"])
    verdict = "met" if difference <= DIFFERENCE else "falls short"
    console.print(
        f"Largest difference from kaldi.fbank: {difference:.1e} (at most {DIFFERENCE:g}: {verdict}).", highlight=False
    )
    arms = part_arms(files["FLAC"]) + [arm for kind in FORMATS for arm in file_arms(kind, files[kind], console)]
    costs = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
    print_costs("Sound, one process", costs, reference="FLAC, soundfile + torchaudio", console=console)
    print_targets(TARGETS, costs, console)
    settings = {name: str(value) for name, value in vars(arguments).items()} | {"largest difference": difference}
    write_results(arguments.json, costs, targets=TARGETS, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
