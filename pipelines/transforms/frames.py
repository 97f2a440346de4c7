"""From stored video to pictures: JPEG frames, or frames of an mp4 clip."""

import io
from collections.abc import Iterator, Sequence

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from pipelines.transforms.errors import DecodeError
from pipelines.transforms.image import decode_image

_NO_MATRIX = (0, 2, 3)
"""Values of FFmpeg's `colorspace` that name no matrix: RGB, unspecified, reserved."""
_HIGH_DEFINITION = 720
_DEMUXERS = {"format_whitelist": "mov", "codec_whitelist": "h264,aac"}


class VideoDecodeError(DecodeError):
    """The bytes are not the frames or the clip that they should be."""


def decode_frames(frames: Sequence[bytes]) -> UInt8[np.ndarray, "time height width 3"]:
    """Decode the stored frames of a clip to RGB.

    Raises:
        ImageDecodeError: One is damaged.
        VideoDecodeError: There is none, or they differ in size.
    """
    if not frames:
        raise VideoDecodeError("A clip without frames cannot be decoded.")
    first = decode_image(frames[0])
    pixels = np.empty((len(frames), *first.shape), np.uint8)
    pixels[0] = first
    for number, data in enumerate(frames[1:], start=1):
        picture = decode_image(data)
        if picture.shape != first.shape:
            raise VideoDecodeError(f"Frame {number} has shape {picture.shape}, but frame 0 has {first.shape}.")
        pixels[number] = picture
    return pixels


def read_clip(data: bytes, indices: Sequence[int]) -> UInt8[np.ndarray, "time height width 3"]:
    """Decode frames of a stored mp4 clip to RGB.

    Only what these frames need is decoded, on one thread: nothing after the last of them, and no frame that is neither
    wanted nor referred to.

    Args:
        data: The clip as `maskloom ingest --video-store mp4` stores it: H.264, upright.
        indices: Numbers of frames in the order in which they are shown, ascending, from 0; the clip's fact `times` tells
            when each appears.

    Raises:
        VideoDecodeError: The clip is damaged, or has fewer frames.
    """
    if not indices or list(indices) != sorted(set(indices)) or indices[0] < 0:
        raise VideoDecodeError(f"Frames {list(indices)} were asked for: give ascending numbers from 0, at least one.")
    try:
        with av.open(io.BytesIO(data), "r", options=_DEMUXERS, metadata_errors="replace") as container:
            stream = _pictures(container)
            packets = [packet for packet in container.demux(stream) if packet.size]
            frames = list(_decoded(stream, packets, indices))
    except av.FFmpegError as error:
        raise VideoDecodeError(f"The clip of {len(data)} bytes cannot be decoded: {error.strerror}.") from error
    return _stacked(frames, indices)


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter, **conversion: int) -> npt.NDArray[np.uint8]:
    """Return a decoded frame as 8-bit RGB (height, width, 3), full range, by the matrix that it names.

    One that names none gets BT.709 from 720 lines on and BT.601 below, as players do. `conversion` is passed on to PyAV.
    """
    is_high = min(frame.width, frame.height) >= _HIGH_DEFINITION
    usual = Colorspace.ITU709 if is_high else Colorspace.ITU601
    matrix = usual if frame.colorspace in _NO_MATRIX else None
    converted = reformatter.reformat(frame, format="rgb24", src_colorspace=matrix, threads=1, **conversion)
    return np.asarray(converted.to_ndarray(), np.uint8)


def _pictures(container: InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if not streams or streams[0].codec_context.name != "h264":
        raise VideoDecodeError("The clip has no pictures of codec H.264.")
    return streams[0]


def _decoded(
    stream: VideoStream, packets: Sequence["Packet[VideoStream]"], indices: Sequence[int]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the wanted frames in order, and nothing for those that do not exist."""
    shown = sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)
    wanted = {shown[index] for index in indices if index < len(shown)}
    reformatter = VideoReformatter()
    for frame in _thriftily(stream, packets, wanted):
        if frame.pts in wanted and not frame.is_corrupt:
            yield to_rgb(frame, reformatter)
            wanted.discard(frame.pts)
        if not wanted:
            return


def _thriftily(stream: VideoStream, packets: Sequence["Packet[VideoStream]"], wanted: set[int]) -> Iterator[VideoFrame]:
    context = stream.codec_context
    context.options = {"err_detect": "explode"}
    context.thread_count = 1
    for packet in packets:
        context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from context.decode(packet)
    yield from context.decode(None)


def _stacked(frames: Sequence[npt.NDArray[np.uint8]], indices: Sequence[int]) -> npt.NDArray[np.uint8]:
    if len(frames) != len(indices):
        raise VideoDecodeError(
            f"{len(indices)} frames were asked for, the last one number {indices[-1]}; {len(frames)} exist."
        )
    if len({frame.shape for frame in frames}) > 1:
        raise VideoDecodeError("The size of the frames changes inside the clip.")
    return np.stack(frames)
