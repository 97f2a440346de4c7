"""Sound out of files that FFmpeg reads: m4a, 3gp, amr, the sound of videos.

Every frame passes through a resampler that only interleaves and converts to float32: `to_ndarray` of a planar frame with
eight channels crashes PyAV 18.1. The demuxer is told, never guessed, and only the codecs of `ingest.containers` are opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from ingest.audio_resample import CODEC_SLACK, Block, Decoded, at_most
from ingest.containers import OPENED_CODECS, SNIFFED_BYTES, SOUND_CODECS, Container, sniff
from ingest.rejection import Rejection
from ingest.settings import Limits
from shards.schema import RejectReason

_SEEK_AHEAD_S = 1.0
"""A codec whose frames overlap needs some before the wanted ones to come out right."""
_TIMED = ("matroska", "flv")
_INDEXED = ("mov", "wav", "aiff", "caf", "flac", "w64", "tta", "ape")
_EXACT = ("pcm_", "flac", "alac", "tta", "wavpack", "ape")
_ROUNDING = 64
"""Samples that a length in milliseconds may be too long."""
_GAP_S = 0.1
"""Time stamps are rounded, to a millisecond in Matroska; a jump beyond this is a hole, to be filled with silence."""


def decode_with_pyav(
    file: BinaryIO, *, start_s: float | None = None, end_s: float | None = None, limits: Limits | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the sound of a media file, or a piece of it.

    Times are seconds from the beginning of the file, as players count them: from the first time stamp of any of its streams.
    With a `start_s`, the first sample is the one at that moment: sound that begins later is preceded by silence. Holes
    between time stamps are filled with silence, so that everything stays where it belongs, as exactly as the time stamps of
    the file allow: Matroska and FLV round them to a millisecond.

    Args:
        file: The file, seekable; it stays open.
        start_s: Where the piece begins; None for the first sample of the sound.
        end_s: Where the piece ends; None for the end. Sound that ends sooner is not made longer.
        limits: Bounds the seconds of sound; the usual limits if None.

    Returns:
        The samples (channels, n), float32 of full scale 1, and how many there are in a second. n is 0 if there is no sound
        in the piece.

    Raises:
        Rejection: The file has no sound, sound of a codec or rate that is not read, damaged sound, or too much of it.
    """
    head = file.read(SNIFFED_BYTES)
    file.seek(0)
    container = sniff(head)
    if container is None:
        raise Rejection(
            RejectReason.UNKNOWN_FORMAT, f"no media file that is known; it starts with {head[:12].hex(' ')}"
        )
    with open_with_pyav(file, container, start_s=start_s, end_s=end_s) as decoded:
        blocks = [block.T for block in at_most(decoded, (limits or Limits()).audio_seconds)]
    nothing = np.empty((decoded.channels, 0), dtype=np.float32)
    return np.ascontiguousarray(np.concatenate([nothing, *blocks], axis=1)), decoded.rate


@contextmanager
def open_with_pyav(
    file: BinaryIO, container: Container, *, start_s: float | None, end_s: float | None
) -> Iterator[Decoded]:
    """Open a file for decoding in blocks, and let go of it at the end of the `with` block, in which they have to be read.

    The arguments and errors are those of `decode_with_pyav`. An error of FFmpeg inside the block becomes `corrupt_audio` too.
    """
    options = {"codec_whitelist": OPENED_CODECS}
    try:
        with av.open(file, mode="r", format=container.demuxer, options=options, metadata_errors="replace") as media:
            yield _sound(media, _sound_stream(media), start_s, end_s)
    except av.FFmpegError as error:
        said = error.log[1][2].strip() if error.log and error.log[1] else ""
        raise Rejection(RejectReason.CORRUPT_AUDIO, f"{error.strerror}{f': {said}' if said else ''}") from error


def _sound(media: InputContainer, stream: AudioStream, start_s: float | None, end_s: float | None) -> Decoded:
    frames = _frames(media, stream, start_s)
    first = next(frames, None)
    if first is None:
        return Decoded(rate=stream.rate or 0, channels=stream.channels, blocks=iter(()))
    rate = first.sample_rate
    promised = _promised(media, stream, start_s, end_s)
    blocks = _steady(chain([first], frames), first)
    return Decoded(
        rate=rate,
        channels=first.layout.nb_channels,
        promised=None if promised is None else round(promised * rate),
        slack=_ROUNDING if stream.codec_context.name.startswith(_EXACT) else CODEC_SLACK,
        blocks=_cut(
            _placed(blocks, rate, _origin(media)),
            None if start_s is None else round(start_s * rate),
            None if end_s is None else round(end_s * rate),
        ),
    )


def _promised(media: InputContainer, stream: AudioStream, start_s: float | None, end_s: float | None) -> float | None:
    """Return how many seconds of the piece the index of the file promises; None without an index, where it is a guess."""
    begin = float((stream.start_time or 0) * (stream.time_base or 0)) - _origin(media)
    seconds = _promised_in_all(media, stream)
    if seconds is None:
        return None
    end = begin + seconds if end_s is None else min(end_s, begin + seconds)
    return max(0.0, end - (begin if start_s is None else start_s))


def _promised_in_all(media: InputContainer, stream: AudioStream) -> float | None:
    name = media.format.name.split(",")[0]
    if name in _INDEXED and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    is_alone = len(media.streams) == 1  # beside pictures, only the longest stream is told about
    return media.duration / av.time_base if name in _TIMED and is_alone and media.duration else None


def _sound_stream(media: InputContainer) -> AudioStream:
    stream = media.streams.best("audio")
    if not isinstance(stream, AudioStream) and media.streams.audio:
        raise Rejection(RejectReason.CORRUPT_AUDIO, "the stream of sound says neither rate nor channels")
    if not isinstance(stream, AudioStream):
        kinds = ", ".join(stream.type for stream in media.streams) or "nothing"
        raise Rejection(RejectReason.NO_SOUND, f"the file has no sound; what it has is: {kinds}")
    name = stream.codec_context.name if stream.codec_context is not None else "unknown"
    if name not in SOUND_CODECS:
        raise Rejection(RejectReason.UNSUPPORTED_FORMAT, f"sound of codec {name} is not read")
    return stream


def _origin(media: InputContainer) -> float:
    return media.start_time / av.time_base if media.start_time is not None else 0.0


def _frames(media: InputContainer, stream: AudioStream, start_s: float | None) -> Iterator[AudioFrame]:
    """Yield the frames from `start_s` on, and some before it."""
    if start_s is None or start_s <= _SEEK_AHEAD_S or not stream.time_base:
        yield from _decoded(media, stream)
        return
    wanted = start_s + _origin(media)
    media.seek(int((wanted - _SEEK_AHEAD_S) / stream.time_base), stream=stream)
    frames = _decoded(media, stream)
    first = next(frames, None)
    if (
        first is None or first.time is None or first.time > wanted
    ):  # the file has no useful index: from its beginning, then
        media.seek(min(0, stream.start_time or 0), stream=stream)
        yield from _decoded(media, stream)
        return
    yield first
    yield from frames


def _decoded(media: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    for packet in media.demux(stream):
        if packet.is_corrupt:
            raise Rejection(RejectReason.CORRUPT_AUDIO, "a packet of sound is cut off")
        yield from packet.decode()


def _steady(frames: Iterable[AudioFrame], first: AudioFrame) -> Iterator[tuple[float | None, Block]]:
    """Yield time and samples of frames that keep the rate and the channels of the first one."""
    resampler: av.AudioResampler | None = None
    sample_format = ""
    for frame in frames:
        if frame.sample_rate != first.sample_rate or frame.layout.nb_channels != first.layout.nb_channels:
            raise Rejection(
                RejectReason.UNSUPPORTED_FORMAT,
                f"the sound changes from {first.sample_rate} Hz and {first.layout.nb_channels} channels to "
                f"{frame.sample_rate} Hz and {frame.layout.nb_channels} channels",
            )
        if resampler is None or frame.format.name != sample_format:
            resampler, sample_format = av.AudioResampler(format="flt"), frame.format.name
        time = frame.time
        for packed in resampler.resample(frame):
            samples = packed.to_ndarray().astype(np.float32, copy=False)
            yield time, samples.reshape(-1, first.layout.nb_channels)
            time = None


def _placed(blocks: Iterable[tuple[float | None, Block]], rate: int, origin: float) -> Iterator[tuple[int, Block]]:
    """Yield blocks with the number of their first sample since the beginning of the file, and silence where there is a hole.

    Times that run backwards, or are missing, are passed over: such a block follows the one before.
    """
    position: int | None = None
    for time, block in blocks:
        stamp = None if time is None else round((time - origin) * rate)
        if position is None:
            position = stamp or 0
        elif stamp is not None and stamp - position > _GAP_S * rate:
            yield position, _silence(stamp - position, block.shape[1])
            position = stamp
        yield position, block
        position += len(block)


def _cut(placed: Iterable[tuple[int, Block]], begin: int | None, end: int | None) -> Iterator[Block]:
    """Yield what lies between two sample numbers; silence up to the first block, if that begins after `begin`."""
    for position, block in placed:
        if begin is not None and position > begin:
            late = position if end is None else min(position, end)
            yield _silence(late - begin, block.shape[1])
            begin = late
        if end is not None and position >= end:
            return
        begin = position if begin is None else begin
        kept = block[max(0, begin - position) : None if end is None else end - position]
        begin = max(begin, position + len(block))
        if len(kept):
            yield kept


def _silence(samples: int, channels: int) -> Block:
    """Return zeros that take no memory, however many a time stamp asks for."""
    return np.broadcast_to(np.float32(0), (max(0, samples), channels))
