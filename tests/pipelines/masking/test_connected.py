import numpy as np
import pytest
import torch

from pipelines.masking.connected import ConnectedPatches
from pipelines.modalities import Image, Points
from shards.errors import MissingTargetError, SettingsError
from tests.pipelines.masking.samples import World, hidden_in

IMAGE = Image(size=224, patch=16)
CONTEXT = World().context(range(300))


def num_regions(mask: np.ndarray) -> int:
    """How many regions of side-by-side patches there are."""
    left, count = {tuple(place) for place in np.argwhere(mask)}, 0
    while left:
        count, front = count + 1, [left.pop()]
        while front:
            row, column = front.pop()
            around = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & left
            left -= around
            front += list(around)
    return count


@pytest.mark.parametrize("seeds", [1, 3])
def test_there_are_no_more_regions_than_seeds(seeds: int) -> None:
    masks = hidden_in(ConnectedPatches(ratio=0.4, seeds=seeds).plan(CONTEXT, modality=IMAGE), IMAGE)
    counts = [num_regions(mask) for mask in masks]
    assert max(counts) <= seeds
    assert (masks.sum(axis=(1, 2)) == 78).all()
    if seeds == 3:
        assert np.mean(counts) > 1.3


def test_one_region_is_a_disc() -> None:
    masks = hidden_in(ConnectedPatches(ratio=0.1).plan(CONTEXT, modality=IMAGE), IMAGE)
    for mask in masks:
        places = np.argwhere(mask)
        assert (np.ptp(places, axis=0) <= 14).all()
        assert np.ptp(places, axis=0).min() <= 4


def test_groups_nearest_to_a_random_group_are_hidden() -> None:
    cloud = Points(count=1024, groups=64)
    centres = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 64, 3)))
    world = World(stored={"centres": centres})
    plan = ConnectedPatches(ratio=0.6, coordinates="centres").plan(world.context(range(300)), modality=cloud)
    assert plan.target.shape == (300, 38)
    seeds = []
    for row in range(300):
        hidden = plan.target[row].sort().values
        distances = torch.cdist(centres[row], centres[row])
        nearest = distances.argsort(dim=1)[:, :38].sort(dim=1).values
        seeds.append((nearest == hidden).all(dim=1).nonzero().flatten().tolist())
    assert all(seeds)
    assert len({seed for some in seeds for seed in some}) > 50


def test_a_seed_is_never_padding() -> None:
    cloud = Points(count=1024, groups=4, neighbours=2)
    far = torch.tensor([[[0.0], [1.0], [100.0], [101.0]]]).expand(200, 4, 1)
    world = World(stored={"centres": far}, lengths={"points": torch.full((200,), 2)})
    plan = ConnectedPatches(ratio=0.5, coordinates="centres").plan(world.context(range(200)), modality=cloud)
    assert plan.target.shape == (200, 1)
    assert 60 < int(plan.target.sum()) < 140


def test_missing_and_senseless_coordinates_are_refused() -> None:
    cloud = Points(count=1024, groups=4, neighbours=2)
    masking = ConnectedPatches(ratio=0.5, coordinates="centers")
    with pytest.raises(MissingTargetError, match=r"'centers'.*Did you mean 'centres'"):
        masking.plan(World(stored={"centres": torch.zeros(3, 4, 3)}).context(range(3)), modality=cloud)
    with pytest.raises(SettingsError, match=r"shape \(3, 5, 3\).*needs 4 tokens"):
        masking.plan(World(stored={"centers": torch.zeros(3, 5, 3)}).context(range(3)), modality=cloud)
    with pytest.raises(SettingsError, match="finite coordinates"):
        masking.plan(World(stored={"centers": torch.full((3, 4, 3), torch.nan)}).context(range(3)), modality=cloud)
    with pytest.raises(SettingsError, match="at least 1"):
        ConnectedPatches(ratio=0.5, seeds=0)
