"""From stored sound to arrays: FLAC to samples, log-mel members to features."""

import io
import re
from dataclasses import dataclass

import numpy as np
import soundfile
from jaxtyping import Float, Float16

from pipelines.transforms.errors import DecodeError

FULL_SCALE = 32768
"""A stored sample of 16 bits, divided by this, is in [-1, 1)."""

_FLAC_START = b"fLaC"
_ARRAY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f2', 'fortran_order': False, 'shape': \((\d{1,9}), (\d{1,9})\), \} *\n",
    re.DOTALL,
)
"""What `numpy.lib.format` writes for such an array. Its own reader evaluates the header as Python and fails in many ways."""


class SeekableBytes(io.BytesIO):
    """Bytes as the file that libsndfile reads: a damaged one makes it seek to places before the first byte.

    Python refuses that by an exception, which cannot leave a callback; so the place stays, and libsndfile notices.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place if it exists, and return where the file stands."""
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class SoundDecodeError(DecodeError):
    """The bytes are not a whole stored sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A mono waveform, or a part of it, float32 in [-1, 1), its samples per second, and how many there are in the file."""

    samples: Float[np.ndarray, " samples"]
    rate: int
    num_samples: int


def decode_sound(data: bytes, *, first: int = 0, last: int | None = None) -> Sound:
    """Decode a FLAC file of one channel with 16 bits a sample, strictly: every sample that is asked for is there.

    The numbers are the stored integers divided by 32768, without rounding.

    Args:
        data: The file.
        first: The first sample that is decoded.
        last: The one after the last, None for the end of the file; what lies before and behind costs next to nothing.

    Raises:
        SoundDecodeError: The bytes are damaged, cut off, not FLAC of this kind, or fewer samples.
    """
    if not data.startswith(_FLAC_START):
        raise SoundDecodeError(
            f"The {len(data)} bytes are no FLAC file; they start with {data[:8].hex(' ') or 'nothing'}."
        )
    try:
        with soundfile.SoundFile(SeekableBytes(data)) as file:
            _require_mono(file)
            samples = _read(file, first, file.frames if last is None else last)
            return Sound(samples=samples, rate=file.samplerate, num_samples=file.frames)
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise SoundDecodeError(f"The FLAC file of {len(data)} bytes cannot be decoded: {error}") from error


def _require_mono(file: soundfile.SoundFile) -> None:
    if (file.channels, file.subtype) != (1, "PCM_16"):
        raise SoundDecodeError(
            f"The FLAC file has {file.channels} channels of {file.subtype}; stored sound has one of PCM_16. "
            "Ingest the dataset to convert it."
        )


def _read(file: soundfile.SoundFile, first: int, last: int) -> Float[np.ndarray, " samples"]:
    if not 0 <= first <= last <= file.frames:
        raise SoundDecodeError(f"Samples {first} to {last} were asked for; the FLAC file has {file.frames}.")
    if first:
        file.seek(first)
    samples: Float[np.ndarray, " samples"] = file.read(last - first, dtype="float32")
    if len(samples) != last - first:
        raise SoundDecodeError(f"The FLAC file promises {file.frames} samples and holds {first + len(samples)}.")
    return samples


def decode_logmel(data: bytes) -> Float16[np.ndarray, "frames bins"]:
    """Return stored log-mel features. Header and size are checked before anything is allocated.

    Raises:
        SoundDecodeError: The bytes are no `.npy` file (version 1.0) of a two-dimensional float16 array in C order.
    """
    header = _ARRAY_HEADER.match(data)
    if header is None:
        raise SoundDecodeError(
            f"The log-mel member of {len(data)} bytes does not begin as a .npy file of float16 (frames, bins) in C order; it "
            f"begins with {data[:16]!r}."
        )
    shape = int(header[1]), int(header[2])
    found = len(data) - header.end()
    if found != 2 * shape[0] * shape[1]:
        raise SoundDecodeError(f"The log-mel member promises float16 {shape} and has {found} bytes of numbers.")
    return np.frombuffer(data, dtype="<f2", offset=header.end()).reshape(shape).copy()
