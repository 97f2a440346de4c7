"""Sound: from whatever a file holds to mono FLAC of 16 bits at one rate, and the log-mel features of exactly those samples.

Channels are averaged, the rate is changed (`ingest.audio_resample`), numbers are rounded to 16 bits and clipped, in this
order. The features are computed from the samples as they are stored, so that a reader computes the same from the FLAC, bit
for bit on the same machine.

libsndfile decodes what it reads, FFmpeg the rest. A file is `corrupt_audio` where its decoder says so, where it is shorter
than its header promises, and where a sample is no number. Streams without a promise (MP3 without a Xing header, AAC, AMR)
are as long as what can be decoded.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from ingest.audio_pyav import open_with_pyav
from ingest.audio_resample import Decoded, Pcm, to_pcm
from ingest.audio_soundfile import NotReadError, open_with_soundfile
from ingest.containers import Container, sniff
from ingest.declared import logmel_name
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import AudioStore, IngestSettings
from ingest.stored import StoredField
from pipelines.transforms.logmel import log_mel
from pipelines.transforms.logmel_spec import LogMelSpec
from pipelines.transforms.sound import FULL_SCALE
from shards.schema import RejectReason

SILENCE_DB = -120.0
"""Level that stands for digital silence, and the lowest that is recorded."""


def store_audio(
    raw: Raw, name: str, settings: IngestSettings, *, start_s: float | None = None, end_s: float | None = None
) -> list[StoredField]:
    """Turn a sound file, or a piece of it, into the fields that are stored.

    Args:
        raw: The file: WAV, AIFF, FLAC, MP3, Ogg, Opus, M4A, AAC, AMR, 3GP, WMA or the like, or a video with sound.
        name: Name of the field of kind `audio`.
        settings: Rate, what is stored, limits and filters.
        start_s: Where the piece begins, in seconds; None for the first sample.
        end_s: Where it ends; None for the end. A piece may reach beyond the end of the sound, and is shorter then.

    Returns:
        The sound, its log-mel features, or both, as the settings say.

    Raises:
        Rejection: It is no sound file, damaged, over a limit, or refused by a filter.
    """
    if raw.size > settings.limits.audio_bytes:
        raise Rejection(RejectReason.TOO_MANY_BYTES, f"{raw.size} bytes are over {settings.limits.audio_bytes}")
    _check_piece(start_s, end_s)
    fields = _store_file(raw.read(), name, settings, start_s=start_s, end_s=end_s)
    _require_features(fields, settings)
    return fields


def _store_file(
    data: bytes, name: str, settings: IngestSettings, *, start_s: float | None, end_s: float | None
) -> list[StoredField]:
    container = _container(data)
    if container.has_soundfile:
        try:
            decoded = open_with_soundfile(data, container, start_s=start_s, end_s=end_s)
            return _store(decoded, name, settings, start=0.0)
        except NotReadError:
            pass  # FFmpeg reads more kinds of tags and codecs than libsndfile does; what it says counts
    with open_with_pyav(io.BytesIO(data), container, start_s=start_s, end_s=end_s) as decoded:
        return _store(decoded, name, settings, start=0.0)


def store_sound(
    samples: npt.NDArray[np.float32], rate: int, *, start: float, name: str, settings: IngestSettings
) -> list[StoredField]:
    """Turn decoded sound, such as that of a clip, into the fields that are stored.

    Args:
        samples: Sound of full scale 1, (channels, n).
        rate: Samples per second.
        start: Seconds from the start of the clip to the first sample.
        name: Name of the field of kind `audio`.
        settings: Rate, what is stored, limits and filters.

    Raises:
        Rejection: It is too long or refused by a filter, shorter than one window of the features, or no sound.
    """
    decoded = Decoded(rate=rate, channels=len(samples), blocks=iter([samples.T]))
    return _store(decoded, name, settings, start=start)


def _check_piece(start_s: float | None, end_s: float | None) -> None:
    start, end = 0.0 if start_s is None else start_s, math.inf if end_s is None else end_s
    if not 0 <= start < end or math.isinf(start):
        raise Rejection(RejectReason.TOO_SHORT, f"there is nothing between {start:g} s and {end:g} s")


def _container(data: bytes) -> Container:
    if not data:
        raise Rejection(RejectReason.EMPTY_FILE, "the file has no bytes")
    container = sniff(data)
    if container is None:
        raise Rejection(
            RejectReason.UNKNOWN_FORMAT, f"no sound file that is known; it starts with {data[:12].hex(' ')}"
        )
    return container


def _store(decoded: Decoded, name: str, settings: IngestSettings, *, start: float) -> list[StoredField]:
    audio, filters = settings.audio, settings.filters
    longest = min(settings.limits.audio_seconds, math.inf if filters.max_seconds is None else filters.max_seconds)
    pcm = to_pcm(decoded, audio.rate, seconds=longest)
    facts = {
        "rate": audio.rate,
        "samples": len(pcm),
        "seconds": len(pcm) / audio.rate,
        "start": start,
        "peak_db": decibels(float(np.abs(pcm.astype(np.int32)).max(initial=0))),
        "rms_db": decibels(math.sqrt(float(np.mean(np.square(pcm, dtype=np.float64)))) if len(pcm) else 0.0),
        "source_rate": decoded.rate,
        "source_channels": decoded.channels,
    }
    _check_length(len(pcm), settings)
    if filters.silence_db is not None and facts["peak_db"] < filters.silence_db:
        raise Rejection(
            RejectReason.SILENT_AUDIO, f"the peak is at {facts['peak_db']:.1f} dB, below {filters.silence_db:g} dB"
        )
    fields = []
    if audio.store in (AudioStore.BOTH, AudioStore.FLAC):
        fields.append(StoredField(name=name, kind="audio", data=_flac(pcm, audio.rate), extension="flac", facts=facts))
    if audio.store in (AudioStore.BOTH, AudioStore.LOGMEL) and len(pcm) >= audio.spec.window_samples:
        fields.append(_features(pcm, name, audio.spec))
    return fields


def _check_length(samples: int, settings: IngestSettings) -> None:
    shortest = max(1 / settings.audio.rate, settings.filters.min_seconds or 0.0)
    if samples < shortest * settings.audio.rate:
        seconds = samples / settings.audio.rate
        raise Rejection(RejectReason.TOO_SHORT, f"{samples} samples are {seconds:g} s; {shortest:g} s is the least")


def _require_features(fields: list[StoredField], settings: IngestSettings) -> None:
    """Refuse a sound file that is too short for features, where they are wanted; the sound of a clip may be."""
    wanted = settings.audio.store in (AudioStore.BOTH, AudioStore.LOGMEL)
    if wanted and not any(field.kind == "logmel" for field in fields):
        raise Rejection(
            RejectReason.TOO_SHORT, f"it is shorter than one window of the features, {settings.audio.window_ms:g} ms"
        )


def decibels(level: float) -> float:
    """Return an amplitude, in steps of 16 bits, in decibels of full scale; at least `SILENCE_DB`."""
    return max(SILENCE_DB, 20 * math.log10(level / FULL_SCALE)) if level > 0 else SILENCE_DB


def _flac(pcm: Pcm, rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _features(pcm: Pcm, name: str, spec: LogMelSpec) -> StoredField:
    features = log_mel(torch.from_numpy(pcm).float() / FULL_SCALE, spec).half().numpy()
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, features, version=(1, 0), allow_pickle=False)
    facts = {"frames": features.shape[0], "bins": features.shape[1]}
    return StoredField(
        name=logmel_name(name), kind="logmel", data=buffer.getvalue(), extension="logmel.npy", facts=facts
    )
