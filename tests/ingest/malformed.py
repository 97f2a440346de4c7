"""A corpus of files that are not what they should be: cut off, flipped, swollen, disguised, or meant to do harm."""

import io
import os
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.ingest.media import SEEDS

Files = Iterator[tuple[str, bytes]]
CANARY = "MASKLOOM_CANARY"
"""Environment variable that names the file which a payload creates if it is ever executed."""


class _Touch:
    """Creates the canary when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f'touch "${CANARY}"',)


def hostile_pickle() -> bytes:
    return pickle.dumps(_Touch())


@cache
def seeds() -> dict[str, bytes]:
    """Return a sound file of every kind, by name."""
    return {name: make() for name, make in SEEDS.items()}


def _named(name: str, what: str, number: int) -> str:
    """Name a variant so that it is an item of its own and keeps its kind: only the first dot counts."""
    stem, _, extension = name.partition(".")
    return f"{what}-{number:04d}-{stem}.{extension}"


def truncated(draws: random.Random, count: int) -> Files:
    for number in range(count):
        name, data = draws.choice(list(seeds().items()))
        yield _named(name, "truncated", number), data[: draws.randrange(len(data))]


def flipped(draws: random.Random, count: int) -> Files:
    for number in range(count):
        name, data = draws.choice(list(seeds().items()))
        damaged = bytearray(data)
        # Half of them in the first bytes, where headers stand.
        reach = len(damaged) if number % 2 else min(64, len(damaged))
        for _ in range(draws.randint(1, 8)):
            damaged[draws.randrange(reach)] ^= 1 << draws.randrange(8)
        yield _named(name, "flipped", number), bytes(damaged)


def disguised(draws: random.Random, count: int) -> Files:
    """One kind's bytes under another kind's name."""
    names = list(seeds())
    for number in range(count):
        name, other = draws.sample(names, 2)
        yield _named(name, "disguised", number), seeds()[other]


def joined(draws: random.Random, count: int) -> Files:
    """Polyglots: one file behind the other."""
    names = list(seeds())
    for number in range(count):
        name, other = draws.sample(names, 2)
        yield _named(name, "joined", number), seeds()[name] + seeds()[other]


def noise(draws: random.Random, count: int) -> Files:
    names = list(seeds())
    for number in range(count):
        yield _named(draws.choice(names), "noise", number), draws.randbytes(draws.choice([0, 1, 7, 300, 5000]))


def pickles() -> Files:
    payload = hostile_pickle()
    for number, name in enumerate((*seeds(), "a.npy", "a.depth.npy", "a.points.npy", "a.pth", "a.pkl", "a.pickle")):
        yield _named(name, "pickle", number), payload
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 70)
    dictionary = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(69) + b"\n"
    yield "objects.depth.npy", header + dictionary + payload


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _flat_png(width: int, height: int, *, rows: int) -> bytes:
    """A grey PNG that claims width x height pixels and holds `rows` rows of zeros."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(width + 1)) for _ in range(rows)) + packer.flush()
    start = b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header)
    return start + _png_chunk(b"IDAT", body) + _png_chunk(b"IEND", b"")


def _claiming_npy(shape: str) -> bytes:
    dictionary = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + dictionary + bytes(64)


def bombs() -> Files:
    """Small files that claim to be large, and small files that are."""
    yield "bomb-wide.png", _flat_png(60_000, 60_000, rows=1)
    yield "bomb-full.png", _flat_png(20_000, 6_000, rows=6_000)
    yield "bomb-allowed.png", _flat_png(9_000, 9_000, rows=9_000)
    yield "bomb.gif", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + seeds()["plain.gif"][10:]
    for number, claim in enumerate(("1000000000000", "18446744073709551615", "-1", "99999999", "1e400", "nan")):
        header = f"ply\nformat binary_little_endian 1.0\nelement vertex {claim}\n"
        yield (
            f"bomb-{number}.ply",
            (header + "property float x\nproperty float y\nproperty float z\nend_header\n").encode(),
        )
        yield f"bomb-{number}.off", f"OFF\n{claim} {claim} 0\n0 0 0\n".encode()
        yield f"bomb-{number}.pcd", seeds()["points.pcd"].replace(b"POINTS 20", f"POINTS {claim}".encode())
        yield f"bomb-{number}.depth.npy", _claiming_npy(f"({claim},)")
        yield f"square-{number}.depth.npy", _claiming_npy(f"({claim}, {claim})")
    yield "bomb.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50)
    wav = bytearray(seeds()["plain.wav"])
    wav[40:44] = struct.pack("<I", 2**32 - 1)
    yield "claims.wav", bytes(wav)
    wav[24:28] = struct.pack("<I", 2**32 - 1)
    yield "rate.wav", bytes(wav)
    wav[24:28] = struct.pack("<I", 0)
    yield "no-rate.wav", bytes(wav)
    yield "deep.json", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "long.txt", b"long " * 100_000
    yield "nested.obj", b"f " + b"1/1/1 " * 200_000


def archives() -> Files:
    """Archives that want to write outside, or to be unpacked at all."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("../outside.jpg", "/tmp/outside.jpg", "a/../../outside.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../outside.jpg", bytes(10_000_000))
    for number, name in enumerate(("plain.jpg", "plain.wav", "plain.mp4", "points.ply", "caption.txt")):
        yield _named(name, "tar", number), tar.getvalue()
        yield _named(name, "zip", number), file.getvalue()


def references() -> Files:
    """Files that ask their reader to open others: playlists, XML entities, material libraries, scripts."""
    secrets = ("/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/latest", "concat:/etc/passwd")
    for number, target in enumerate(secrets):
        playlist = f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n".encode()
        for name in ("plain.mp4", "silent.mkv", "plain.avi", "plain.wav", "plain.mp3"):
            yield _named(name, f"playlist{number}", number), playlist
        yield f"library-{number}.obj", f"mtllib {target}\n".encode() + seeds()["mesh.obj"]
        svg = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{target}">]><svg>&e;</svg>'.encode()
        yield f"entity-{number}.png", svg
        yield f"concat-{number}.mp4", f"ffconcat version 1.0\nfile '{target}'\n".encode()
    yield "script.jpg", b"%!PS\n(/etc/passwd) (r) file\n"


def write_corpus(root: Path, *, seed: int, count: int) -> int:
    """Write at least `count` files below `root`, each an item of its own, the same for the same seed; return how many."""
    draws = random.Random(seed)
    fixed = [*pickles(), *bombs(), *archives(), *references()]
    rest = max(0, count - len(fixed))
    drawn = [
        *truncated(draws, rest - 4 * (rest // 5)),
        *flipped(draws, 2 * (rest // 5)),
        *disguised(draws, rest // 5),
        *joined(draws, rest // 10),
        *noise(draws, rest // 5 - rest // 10),
    ]
    root.mkdir(parents=True)
    for number, (name, data) in enumerate((*fixed, *drawn)):
        (root / f"{number:04d}-{name}").write_bytes(data)
    return len(fixed) + len(drawn)
