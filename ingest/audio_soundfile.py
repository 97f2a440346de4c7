"""Sound out of files that libsndfile reads: WAV, AIFF, FLAC, MP3, Ogg and their kin. It is the faster decoder of the two."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import soundfile

from ingest.audio_formats import bytes_missing, counts_samples
from ingest.audio_resample import CODEC_SLACK, Block, Decoded
from ingest.containers import Container
from ingest.rejection import Rejection
from pipelines.transforms.sound import SeekableBytes
from shards.schema import RejectReason

_VALUES_AT_ONCE = 1 << 24
_UNKNOWN_LENGTH = 1 << 62
_EXACT = ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC")


class NotReadError(Exception):
    """libsndfile does not know this kind of file after all, or gives up on it; another decoder may read it."""


def open_with_soundfile(data: bytes, container: Container, *, start_s: float | None, end_s: float | None) -> Decoded:
    """Open a file for decoding in blocks.

    A file is damaged if it is shorter than its header says (`bytes_missing`, and `promised` of the result), or if libsndfile
    complains: FLAC has a checksum in every frame. Other formats cannot tell a flipped bit from sound.

    Args:
        data: The whole file.
        container: What kind it is.
        start_s: Where the wanted piece begins, in seconds from the first sample; None for there.
        end_s: Where it ends; None for the end of the file, and what is beyond that does not count.

    Raises:
        NotReadError: Only another decoder may know; it can also come up while blocks of an MP3 are read.
        Rejection: The file is damaged. Damage further inside comes up as the blocks are read.
    """
    missing = bytes_missing(data, container)
    if missing:
        raise Rejection(
            RejectReason.CORRUPT_AUDIO, f"cut off: {missing} bytes that the {container.name} header promises"
        )
    try:
        file = soundfile.SoundFile(SeekableBytes(data))
    except soundfile.LibsndfileError as error:
        raise NotReadError(error.error_string) from error
    if file.frames >= _UNKNOWN_LENGTH:
        raise NotReadError("the header does not say how long it is")
    first = 0 if start_s is None else round(start_s * file.samplerate)
    last = sys.maxsize if end_s is None else round(end_s * file.samplerate)
    promised = max(0, min(last, file.frames) - first)
    return Decoded(
        rate=file.samplerate,
        channels=file.channels,
        blocks=_blocks(file, first, last, container),
        promised=promised if counts_samples(data, container) else None,
        slack=0 if file.subtype.startswith(_EXACT) else CODEC_SLACK,
    )


def _blocks(file: soundfile.SoundFile, first: int, last: int, container: Container) -> Iterator[Block]:
    at_once = max(1, _VALUES_AT_ONCE // file.channels)
    try:
        with file:
            if first:
                file.seek(min(first, file.frames))
            is_more = first < last
            while is_more:
                wanted = min(at_once, last - first, file.frames + 1)
                block: Block = file.read(wanted, dtype="float32", always_2d=True)
                yield block
                first += len(block)
                is_more = len(block) == wanted and first < last
    except soundfile.LibsndfileError as error:
        if container.demuxer == "mp3":
            raise NotReadError(error.error_string) from error
        raise Rejection(RejectReason.CORRUPT_AUDIO, error.error_string or "libsndfile gives up on the file") from error
