"""Small sound files, videos, point clouds and rasters made from numbers, in many formats, for the tests of ingest."""

import io
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction

import av
import laspy
import numpy as np
import numpy.typing as npt
import soundfile
import tifffile

from tests.ingest.pictures import encoded, exif_of, jpeg, pixels, png

Floats = npt.NDArray[np.float32]


def tone(seconds: float = 1.0, *, rate: int = 16_000, channels: int = 1, hertz: float = 440.0) -> Floats:
    """Return a tone that swells, float32 [samples, channels]."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hertz * time) * np.minimum(1, 4 * time)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def sound(
    kind: str, seconds: float = 1.0, *, rate: int = 16_000, channels: int = 1, subtype: str | None = None
) -> bytes:
    """Return a tone as a file of the libsndfile format `kind`."""
    file = io.BytesIO()
    soundfile.write(file, tone(seconds, rate=rate, channels=channels), rate, format=kind, subtype=subtype)
    return file.getvalue()


def video(
    kind: str = "mp4",
    codec: str = "libx264",
    *,
    seconds: float = 1.0,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    with_sound: bool = True,
) -> bytes:
    """Return a video of moving pictures, with a tone if wanted, as a file of the libav format `kind`."""
    file = io.BytesIO()
    width, height = size
    with av.open(file, "w", format=kind) as container:
        frames = container.add_stream(codec, rate=rate, options={"threads": "1"})
        frames.width, frames.height, frames.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        heard = (
            container.add_stream("libopus" if kind == "webm" else "aac", rate=48_000, layout="mono")
            if with_sound
            else None
        )
        for number in range(round(seconds * rate)):
            picture = np.roll(pixels(3, width=width, height=height), 2 * number, axis=1)
            container.mux(frames.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(frames.encode())
        if heard is not None:
            pcm = np.rint(32_767 * tone(seconds, rate=48_000)).astype(np.int16).T
            samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="s16", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 0, Fraction(1, 48_000)
            container.mux(heard.encode(samples))
            container.mux(heard.encode())
    return file.getvalue()


def cloud(count: int = 50, columns: int = 3) -> Floats:
    """Return points in a unit cube, float32 [count, columns]."""
    return np.random.default_rng(count).random((count, columns), dtype=np.float32)


def ply(count: int = 50) -> bytes:
    """Return a binary little-endian PLY of points."""
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n"
    header += "".join(f"property float {name}\n" for name in "xyz") + "end_header\n"
    return header.encode() + cloud(count).astype("<f4").tobytes()


def ascii_ply(count: int = 20) -> bytes:
    """Return an ASCII PLY of points."""
    header = f"ply\nformat ascii 1.0\nelement vertex {count}\n"
    header += "".join(f"property float {name}\n" for name in "xyz") + "end_header\n"
    return (header + "".join(f"{x} {y} {z}\n" for x, y, z in cloud(count))).encode()


def off() -> bytes:
    """Return a tetrahedron as OFF."""
    return b"OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"


def obj() -> bytes:
    """Return a triangle as OBJ."""
    return b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def stl() -> bytes:
    """Return two triangles as binary STL."""
    triangles = struct.pack("<12fH", *range(12), 0) + struct.pack("<12fH", *range(12, 0, -1), 0)
    return bytes(80) + struct.pack("<I", 2) + triangles


def pcd(count: int = 20) -> bytes:
    """Return an ASCII PCD of points."""
    header = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        f"WIDTH {count}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {count}\nDATA ascii\n"
    )
    return (header + "".join(f"{x} {y} {z}\n" for x, y, z in cloud(count))).encode()


def las(count: int = 20, *, compressed: bool = False) -> bytes:
    """Return points as LAS 1.4, or as LAZ."""
    file = io.BytesIO()
    data = laspy.create(point_format=6, file_version="1.4")
    data.header.scales = np.full(3, 0.001)
    data.x, data.y, data.z = cloud(count).astype(np.float64).T
    data.write(file, do_compress=compressed)
    return file.getvalue()


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def tiff(array: npt.NDArray[np.generic]) -> bytes:
    """Return an array as an uncompressed TIFF."""
    file = io.BytesIO()
    tifffile.imwrite(file, array)
    return file.getvalue()


SEEDS: Mapping[str, Callable[[], bytes]] = {
    "plain.jpg": lambda: jpeg(1),
    "turned.jpg": lambda: jpeg(2, exif=exif_of(6)),
    "plain.png": lambda: png(3),
    "plain.webp": lambda: encoded(pixels(4), "WEBP"),
    "plain.gif": lambda: encoded(pixels(5), "GIF"),
    "plain.bmp": lambda: encoded(pixels(6), "BMP"),
    "plain.ppm": lambda: encoded(pixels(7), "PPM"),
    "plain.tif": lambda: encoded(pixels(8), "TIFF"),
    "plain.wav": lambda: sound("WAV"),
    "stereo.wav": lambda: sound("WAV", rate=44_100, channels=2, subtype="PCM_24"),
    "plain.flac": lambda: sound("FLAC"),
    "plain.mp3": lambda: sound("MP3"),
    "plain.ogg": lambda: sound("OGG"),
    "plain.mp4": video,
    "silent.mkv": lambda: video("matroska", with_sound=False),
    "plain.webm": lambda: video("webm", "libvpx"),
    "plain.avi": lambda: video("avi", "mpeg4", with_sound=False),
    "points.ply": ply,
    "ascii.ply": ascii_ply,
    "mesh.off": off,
    "mesh.obj": obj,
    "mesh.stl": stl,
    "points.pcd": pcd,
    "points.las": las,
    "points.laz": lambda: las(compressed=True),
    "points.xyz": lambda: "".join(f"{x} {y} {z}\n" for x, y, z in cloud()).encode(),
    "sweep.bin": lambda: cloud(64, 4).tobytes(),
    "scene.depth.png": lambda: encoded_depth(),
    "scene.depth.npy": lambda: npy(np.arange(600, dtype=np.float32).reshape(20, 30)),
    "bands.depth.tif": lambda: tiff(np.arange(2400, dtype=np.uint16).reshape(20, 30, 4)),
    "caption.txt": lambda: b"a caption of nothing in particular",
}
"""One sound file of each kind that is read, by a name that gives the kind away."""


def encoded_depth() -> bytes:
    """Return a 16-bit grey PNG."""
    from PIL import Image

    return encoded(Image.fromarray((np.arange(1200, dtype=np.uint16) * 50).reshape(30, 40)), "PNG")
