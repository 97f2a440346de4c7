from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.modalities import Points
from pipelines.rendering.points import PointsRenderer
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, FreshViews, View
from shards.errors import MissingFieldError, SettingsError
from tests.ingest.media import npy
from tests.pipelines.many_kinds import Stored, points
from tests.pipelines.rendering.looking import extent_of, rendered

CLOUD = PointsRenderer(modality=Points(count=32, groups=4, neighbours=8))


def numbered(count: int) -> Stored:
    """A cloud whose x is the number of the point, with colours."""
    cloud = np.zeros((count, 6), np.float32)
    cloud[:, 0], cloud[:, 5] = np.arange(count), 0.5
    return points(cloud)


def drawn(count: int, ticket: int) -> list[int]:
    row, real = rendered(CLOUD, numbered(count), View(ticket=ticket))
    assert real == 4
    return [int(number) for number in row[:, 0].tolist()]


def test_points_are_drawn_without_replacement_in_an_order_of_their_own() -> None:
    first = drawn(100, 1)
    assert len(set(first)) == 32
    assert first != sorted(first)
    assert first == drawn(100, 1)
    assert first != drawn(100, 2)


def test_the_subset_of_a_ticket_never_changes() -> None:
    assert drawn(100, 1)[:8] == [89, 26, 11, 9, 21, 0, 16, 74]  # stored targets belong to subsets


def test_every_point_is_drawn_equally_often_at_every_place() -> None:
    draws = np.array([drawn(64, ticket) for ticket in range(1000)])
    counts = np.bincount(draws.ravel(), minlength=64)
    assert 420 < counts.min() <= counts.max() < 580
    assert len(set(draws[:, 0].tolist())) == 64


def test_a_small_cloud_gives_all_of_its_points_before_any_comes_again() -> None:
    counts = Counter(drawn(5, 3))
    assert set(counts) == set(range(5))
    assert set(counts.values()) == {6, 7}
    assert drawn(1, 3) == [0] * 32


def test_looks_draw_subsets_of_their_own() -> None:
    source = FreshViews(policy=None)
    views = [source.choose("a", epoch=0, seed=1, extent=Extent(), look=look)[1] for look in range(2)]
    rows = [rendered(CLOUD, numbered(100), view)[0] for view in views]
    assert not torch.equal(rows[0], rows[1])


def test_columns_beyond_those_of_the_modality_are_left_out() -> None:
    coloured = PointsRenderer(modality=Points(count=32, groups=4, neighbours=8, columns=6))
    row, _ = rendered(coloured, numbered(100), View())
    assert (row[:, 5] == 0.5).all()
    assert extent_of(CLOUD, numbered(9)) == Extent()
    assert not CLOUD.empty(2).any()


def test_the_points_that_are_drawn_are_put_into_the_unit_sphere_and_their_colours_left() -> None:
    modality = Points(count=32, groups=4, neighbours=8, columns=6, in_unit_sphere=True)
    row, _ = rendered(PointsRenderer(modality=modality), numbered(100), View(ticket=3))
    assert row[:, 0].mean().abs() < 1e-6
    assert row[:, :3].norm(dim=1).max() == pytest.approx(1.0)
    assert (row[:, 5] == 0.5).all()


def test_a_cloud_that_does_not_fit_is_refused() -> None:
    wide = PointsRenderer(modality=Points(count=32, groups=4, neighbours=8, columns=7))
    with pytest.raises(SettingsError, match="'points' takes 7 columns, but the field 'points' has 6: x, y, z, red"):
        rendered(wide, numbered(40), View())
    with pytest.raises(DecodeError, match=r"It has \(40, 6\) points and columns, but \(41, 6\) were recorded"):
        rendered(CLOUD, numbered(40), View(), count=41)
    with pytest.raises(DecodeError, match="no points"):
        rendered(CLOUD, replace(numbered(1), data=npy(np.zeros((0, 6), "<f4"))), View(), count=0)
    with pytest.raises(MissingFieldError, match=r"does not know 'points\.columns'"):
        rendered(CLOUD, numbered(40), View(), columns=None)
    stored = numbered(40)
    assert isinstance(stored.data, bytes)
    with pytest.raises(DecodeError, match="takes 960 bytes, here are 950"):
        rendered(CLOUD, replace(stored, data=stored.data[:-10]), View())
