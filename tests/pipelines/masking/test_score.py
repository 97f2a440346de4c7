import numpy as np
import pytest
import torch

from pipelines.masking.score import ScoredPatches
from pipelines.modalities import Image
from shards.errors import MissingTargetError, SettingsError
from tests.pipelines.masking.samples import World, hidden_in

SIDE = 8
IMAGE = Image(size=SIDE, patch=1)


def world(scores: np.ndarray, samples: int) -> World:
    return World(stored={"attention": torch.from_numpy(np.tile(scores, (samples, 1)))})


RISING = np.arange(SIDE**2, dtype=np.float32)


@pytest.mark.parametrize(("hidden", "first"), [("highest", 32), ("lowest", 0)])
def test_without_temperature_exactly_one_end_is_hidden(hidden: str, first: int) -> None:
    masking = ScoredPatches(score="attention", ratio=0.5, hidden=hidden)  # type: ignore[arg-type]
    plan = masking.plan(world(RISING, 3).context(range(3)), modality=IMAGE)
    assert torch.equal(plan.target.sort(dim=1).values, torch.arange(first, first + 32).expand(3, -1))


def test_equal_scores_are_ordered_at_random() -> None:
    masking = ScoredPatches(score="attention", ratio=0.5)
    masks = hidden_in(masking.plan(world(0 * RISING, 2000).context(range(2000)), modality=IMAGE), IMAGE)
    assert abs(masks.sum(axis=0) - 1000).max() < 110


def test_a_share_of_the_hidden_is_drawn_regardless_of_score() -> None:
    masking = ScoredPatches(score="attention", ratio=0.5, random=0.25)
    masks = hidden_in(masking.plan(world(RISING, 2000).context(range(2000)), modality=IMAGE), IMAGE)
    often = masks.mean(axis=0).ravel()
    assert (often[-24:] == 1).all()
    assert abs(often[:-24] - 8 / 40).max() < 0.05


def test_visible_tokens_can_be_drawn_in_proportion_to_the_score() -> None:
    scores = np.ones(SIDE**2)
    scores[:8] = 4.0
    masking = ScoredPatches(score="attention", ratio=0.98, hidden="lowest", temperature=1.0)
    plan = masking.plan(world(scores, 20_000).context(range(20_000)), modality=IMAGE)
    assert plan.visible.shape[1] == 1
    often = np.bincount(plan.visible[:, 0].numpy(), minlength=64) / 20_000
    assert abs(often[:8] - 4 / 88).max() < 0.007
    assert abs(often[8:] - 1 / 88).max() < 0.004


def test_a_token_of_score_zero_is_drawn_last() -> None:
    scores = np.ones(SIDE**2)
    scores[:32] = 0.0
    masking = ScoredPatches(score="attention", ratio=0.5, hidden="highest", temperature=1.0)
    plan = masking.plan(world(scores, 50).context(range(50)), modality=IMAGE)
    assert plan.target.min() == 32


def test_senseless_scores_are_refused() -> None:
    masking = ScoredPatches(score="attention", ratio=0.5, temperature=1.0)
    for scores in (RISING - 1, RISING * np.nan, RISING[:-1]):
        with pytest.raises(SettingsError, match="'attention'"):
            masking.plan(world(scores, 2).context(range(2)), modality=IMAGE)
    with pytest.raises(MissingTargetError, match=r"'attention'.*holds none"):
        masking.plan(World().context(range(2)), modality=IMAGE)


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"random": 1.5}, {"ratio": 0.0}])
def test_senseless_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        ScoredPatches(**{"score": "attention", "ratio": 0.5, **wrong})  # type: ignore[arg-type]


def test_an_unknown_end_is_refused() -> None:
    masking = ScoredPatches(score="attention", ratio=0.5)
    object.__setattr__(masking, "hidden", "best")  # past the check of types that only tests make
    with pytest.raises(SettingsError, match="highest or lowest"):
        masking.__post_init__()
