"""Point clouds and meshes: from whatever a file holds to one float32 array of named columns.

Points whose coordinates are not finite (NaN, infinite, or beyond 1e18) are dropped and counted; attributes are kept as they
are. A mesh becomes points drawn from its surface. Colours are brought to [0, 1]; other attributes keep their units.
"""

from __future__ import annotations

import numpy as np

from ingest.points.cloud import Cloud, usable_points
from ingest.points.formats import reader_of
from ingest.points.stored_array import encode_columns, with_unit_colours
from ingest.points.surface import draw_points
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings
from ingest.stored import StoredField
from pipelines.randomness import generator_for
from shards.schema import RejectReason


def store_points(raw: Raw, name: str, settings: IngestSettings, *, key: str) -> list[StoredField]:
    """Turn a point cloud or mesh file into what is stored: one `.npy` of float32, shape (points, columns), x, y, z first.

    Facts: `columns` names the columns; `dropped` counts points (or vertices of a mesh) without a finite place; `bounds` are
    the smallest and largest x, y, z as the file has them; `origin` is what was subtracted from each column so that float32
    keeps a millimetre of metres (see `ingest.points.stored_array`): the file said stored + origin.

    Args:
        raw: The file; its name tells formats apart that have no mark of their own.
        name: Name of the field.
        settings: Limits, how many points are drawn from a mesh, and the seed.
        key: The sample's key. Points of a mesh depend on it and on the seed alone.

    Raises:
        Rejection: The file is damaged, of an unknown format, over a limit, or has no points.
    """
    with np.errstate(all="ignore"):  # of a file's numbers only their consequences matter, and those are looked at
        return [_stored(name, reader_of(raw)(raw, settings.limits), settings, key)]


def _stored(name: str, cloud: Cloud, settings: IngestSettings, key: str) -> StoredField:
    # Rows of a file become columns without gaps in memory: everything below is several times faster on those.
    columns = {column: np.ascontiguousarray(values) for column, values in cloud.columns.items()}
    usable = usable_points(columns)
    dropped = len(usable) - int(usable.sum())
    columns = with_unit_colours(columns)
    if cloud.triangles is not None:
        triangles = cloud.triangles[usable[cloud.triangles].all(axis=1)] if dropped else cloud.triangles
        generator = generator_for(seed=settings.seed, epoch=0, key=key, purpose="points of a mesh")
        columns = draw_points(columns, triangles, settings.points.mesh_points, generator)
    elif dropped:
        columns = {column: values[usable] for column, values in columns.items()}
    count = len(columns["x"])
    if not count:
        raise Rejection(RejectReason.NO_POINTS, f"{len(usable)} points, {dropped} of them without a finite place")
    stored = encode_columns(columns)
    facts = {
        "count": count,
        "columns": ",".join(columns),
        "dropped": dropped,
        "bounds": stored.bounds,
        "origin": stored.origin,
        "source_format": cloud.source_format,
    }
    return StoredField(name=name, kind="points", data=stored.data, extension="points.npy", facts=facts)
