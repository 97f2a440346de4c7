"""How much CPU it takes to turn point clouds into what is stored: maskloom beside what people write by hand today.

    python -m benchmarks.points

Every arm reads files from disk and ends with the bytes of a float32 `.npy`. The peers check nothing, drop nothing and
know what is in the file: for the two formats that are bare float32, that is a limit rather than a competitor.
"""

from __future__ import annotations

import argparse
import functools
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import laspy
import numpy as np
import numpy.typing as npt
import trimesh

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
from ingest.points import store_points
from ingest.raw import Raw
from ingest.settings import IngestSettings

Table = npt.NDArray[np.float32]

PACKAGES = ("maskloom", "numpy", "pyarrow", "laspy", "lazrs", "trimesh")
MESH_POINTS = IngestSettings().points.mesh_points

PEERS = {
    "ply": "numpy.frombuffer",
    "bin": "numpy.fromfile",
    "las": "laspy.read",
    "laz": "laspy.read (laz)",
    "xyz": "numpy.loadtxt",
    "off": "trimesh",
}
TARGETS = tuple(
    RatioTarget(
        claim=f"{kind}: maskloom / {PEERS[kind]}",
        arm=f"{kind}, maskloom",
        peer=f"{kind}, {PEERS[kind]}",
        at_least=speed,
    )
    for kind, speed in {"ply": 0.2, "bin": 0.2, "las": 1.0, "laz": 1.0, "xyz": 3.0, "off": 1.5}.items()
)


def sweep(count: int, seed: int) -> Table:
    """Return a made-up sweep (count, 4): places within 80 m to a millimetre, and an intensity."""
    random = np.random.default_rng(seed)
    places = np.round(random.normal(0, 25, (count, 3)), 3)
    return np.column_stack([places, np.round(random.uniform(0, 1, count), 2)]).astype(np.float32)


def write_ply(path: Path, table: Table) -> None:
    """Write binary little-endian PLY."""
    names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "intensity"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{names}end_header\n"
    path.write_bytes(header.encode() + table.tobytes())


def write_bin(path: Path, table: Table) -> None:
    """Write a sweep as KITTI has it."""
    path.write_bytes(table.tobytes())


def write_xyz(path: Path, table: Table) -> None:
    """Write lines of four numbers."""
    np.savetxt(path, table, fmt="%.3f")


def write_las(path: Path, table: Table) -> None:
    """Write LAS 1.2 with colours and time, in metres of a map; compressed if the path ends in .laz."""
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = np.full(3, 0.001), np.array([500_000, 4_000_000, 0])
    data = laspy.LasData(header)
    data.x, data.y, data.z = (table[:, axis].astype(np.float64) + header.offsets[axis] for axis in range(3))
    data.intensity = (table[:, 3] * 1000).astype(np.uint16)
    data.gps_time = 1e8 + np.arange(len(table)) * 1e-5
    data.write(path)


def write_off(path: Path, table: Table) -> None:
    """Write a mesh with twice as many triangles as vertices: a bumpy sheet."""
    side = int(len(table) ** 0.5)
    row, column = (grid.ravel() for grid in np.mgrid[0 : side - 1, 0 : side - 1])
    corner = row * side + column
    triangles = [
        np.column_stack([corner, corner + 1, corner + side]),
        np.column_stack([corner + 1, corner + side + 1, corner + side]),
    ]
    faces = np.column_stack([np.full(2 * len(corner), 3), np.concatenate(triangles)])
    heights = table[: side * side, 2] / 25
    vertices = np.column_stack([*(grid.ravel() for grid in np.mgrid[0:side, 0:side]), heights])
    with path.open("w", encoding="ascii") as file:
        file.write(f"OFF\n{len(vertices)} {len(faces)} 0\n")
        np.savetxt(file, vertices, fmt="%.6f")
        np.savetxt(file, faces, fmt="%d")


WRITERS: dict[str, Callable[[Path, Table], None]] = {
    "ply": write_ply,
    "bin": write_bin,
    "las": write_las,
    "laz": write_las,
    "xyz": write_xyz,
    "off": write_off,
}


def with_maskloom(path: Path) -> bytes:
    """Store a file as an ingest does."""
    (stored,) = store_points(Raw.of(path.read_bytes(), name=path.name), "points", IngestSettings(), key=path.stem)
    assert isinstance(stored.data, bytes)
    return stored.data


def saved(table: npt.NDArray[np.floating]) -> bytes:
    """Encode a table as float32 `.npy`."""
    file = io.BytesIO()
    np.save(file, table.astype(np.float32, copy=False))
    return file.getvalue()


def ply_by_hand(path: Path) -> bytes:
    """Take the bytes after the header for four columns of float32."""
    data = path.read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    return saved(np.frombuffer(data, "<f4", offset=start).reshape(-1, 4))


def las_by_hand(path: Path) -> bytes:
    """Read everything with laspy, and stack the columns that maskloom stores too."""
    data = laspy.read(path, laz_backend=laspy.LazBackend.Lazrs if path.suffix == ".laz" else None)
    names = ("intensity", "red", "green", "blue", "gps_time", "classification", "return_number", "number_of_returns")
    places = np.asarray(data.xyz) - np.floor(data.header.mins)
    return saved(np.column_stack([places, *(np.asarray(data[name]) for name in names)]))


def off_by_hand(path: Path) -> bytes:
    """Read a mesh with trimesh and draw points with the normals of their faces."""
    mesh = trimesh.load(path, process=False, force="mesh")
    places, faces = trimesh.sample.sample_surface(mesh, MESH_POINTS, seed=0)
    return saved(np.column_stack([places, mesh.face_normals[faces]]))


BY_HAND: dict[str, Callable[[Path], bytes]] = {
    "ply": ply_by_hand,
    "bin": lambda path: saved(np.fromfile(path, "<f4").reshape(-1, 4)),
    "las": las_by_hand,
    "laz": las_by_hand,
    "xyz": lambda path: saved(np.loadtxt(path)),
    "off": off_by_hand,
}


def cost_of(paths: Sequence[Path], convert: Callable[[Path], bytes], turn: int) -> float:
    """Return the CPU-seconds that one file costs."""

    def work() -> int:
        for path in paths:
            convert(path)
        return len(paths)

    return cpu_per_item(work)


def written(folder: Path, kind: str, *, files: int, points: int) -> list[Path]:
    """Write the files of one format."""
    paths = [folder / f"{number:03d}.{kind}" for number in range(files)]
    for number, path in enumerate(paths):
        WRITERS[kind](path, sweep(points, number))
        assert len(with_maskloom(path)) == len(BY_HAND[kind](path)), path
    return paths


def main() -> None:
    """Measure, print and write everything."""
    command = argparse.ArgumentParser(description="Benchmark the reading and storing of point clouds.")
    command.add_argument("--files", type=int, default=8, help="files of each format")
    command.add_argument("--points", type=int, default=100_000, help="points of a file; vertices of a mesh are a tenth")
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--json", type=Path, default=Path("benchmarks/results/points.json"))
    arguments, console = command.parse_args(), make_console()
    costs = {}
    with tempfile.TemporaryDirectory(prefix="maskloom-bench-") as temporary:
        for kind, peer in PEERS.items():
            points = arguments.points // 10 if kind == "off" else arguments.points
            paths = written(Path(temporary), kind, files=arguments.files, points=points)
            converters = {f"{kind}, maskloom": with_maskloom, f"{kind}, {peer}": BY_HAND[kind]}
            arms = [Arm(name=name, cost=functools.partial(cost_of, paths, run)) for name, run in converters.items()]
            found = alternate(arms, rounds=arguments.rounds, warm_up=1, console=console)
            print_costs(f"{kind}, {points} points", found, reference=f"{kind}, {peer}", console=console)
            costs |= found
    print_targets(TARGETS, costs, console)
    settings = {name: str(value) for name, value in vars(arguments).items()}
    write_results(arguments.json, costs, targets=TARGETS, settings=settings, packages=PACKAGES)


if __name__ == "__main__":
    main()
