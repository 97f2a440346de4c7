"""What recipes of clips alone promise: how much is seen and predicted, and what depends on the size."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from pipelines.masking.plan import MaskPlan
from pipelines.masking.separate import plans_of
from pipelines.views import Extent
from tests.batches import context_of
from trainers.recipe import Recipe
from trainers.recipes import mae_st, maskfeat_video, video_mae, video_mae_v2
from trainers.registry import resolve_recipe

KEYS = tuple("abcdefgh")


def plan_of(recipe: Recipe) -> MaskPlan:
    return plans_of(recipe.masking, context_of(KEYS), recipe.modalities)["video"]


def hidden_in(recipe: Recipe, plan: MaskPlan) -> torch.Tensor:
    clip = recipe.modality("video")
    return torch.zeros(len(KEYS), clip.num_tokens).scatter(1, plan.target, 1.0).unflatten(1, clip.grid)


def test_half_of_the_hidden_tubes_is_predicted_by_turns() -> None:
    recipe = video_mae_v2.recipe()
    plan = plan_of(recipe)
    assert plan.visible.shape == (len(KEYS), 8 * 20)
    assert plan.target.shape == (len(KEYS), 8 * 176 // 2)
    assert plan.target_padding is None
    predicted = hidden_in(recipe, plan)
    assert set(predicted.sum(dim=1).unique().tolist()) == {0.0, 4.0}
    assert torch.equal(predicted[:, :4], predicted[:, 4:])


def test_cubes_of_space_and_time_are_hidden_at_random() -> None:
    recipe = mae_st.recipe()
    plan = plan_of(recipe)
    assert plan.visible.shape == (len(KEYS), 156)
    times = hidden_in(recipe, plan).sum(dim=(2, 3))
    assert times.std() > 0


def test_cubes_are_hidden_in_units_of_four_patches() -> None:
    recipe = maskfeat_video.recipe()
    hidden = hidden_in(recipe, plan_of(recipe))
    units = hidden.unflatten(3, (7, 2)).unflatten(2, (7, 2)).sum(dim=(3, 5))
    assert set(units.unique().tolist()) == {0.0, 4.0}
    assert (units == 4).sum(dim=(1, 2, 3)).tolist() == [157] * len(KEYS)


@pytest.mark.parametrize(
    ("size", "batch", "epochs", "peak", "last"),
    [
        ("small", 1024, 1600, 6e-4, 4e-5),
        ("base", 2048, 800, 1.2e-3, 8e-5),
        ("large", 512, 1600, 3e-4, 2e-5),
        ("huge", 1024, 1600, 6e-4, 4e-5),
    ],
)
def test_batches_and_rates_are_those_published_for_the_size(
    size: str, batch: int, epochs: int, peak: float, last: float
) -> None:
    training = video_mae.recipe(size).training
    assert (training.batch, training.epochs) == (batch, epochs)
    assert training.base_lr * training.batch / 256 == pytest.approx(peak)
    assert training.min_lr * training.batch / 256 == pytest.approx(last)


def test_the_largest_rates_are_those_that_were_published() -> None:
    peaks = {module: module.recipe().training for module in (video_mae_v2, mae_st, maskfeat_video)}
    found = [training.base_lr * training.batch / 256 for training in peaks.values()]
    assert found == pytest.approx([6e-4 * 2048 / 256, 1.6e-3, 1.6e-3])


def test_frames_of_a_clip_lie_a_stride_apart_and_are_cropped_and_mirrored_alike() -> None:
    recipe = resolve_recipe("mae_st", size="base", settings=["views.stride=4"])
    extent = Extent(height=240, width=320, times=tuple(frame / 30 for frame in range(80)), seconds=80 / 30)
    views = recipe.fresh_views()
    assert (views.size, views.num_frames) == (224, 16)
    seen = [views.choose("a", epoch=epoch, seed=0, extent=extent)[1] for epoch in range(40)]
    assert {view.flip for view in seen} == {True, False}
    for view in seen:
        assert {later - earlier for earlier, later in pairwise(view.frames)} == {4}
        assert 0.49 < view.height * view.width / (240 * 320) <= 1
    assert recipe.views.options == ("--scale", "0.5,1", "--flip", "0.5", "--stride", "4")
    still = [recipe.still_views().choose("a", epoch=epoch, seed=0, extent=extent)[1] for epoch in range(2)]
    assert still[0] == replace(still[1], ticket=still[0].ticket)
    assert (still[0].left, still[0].width, still[0].frames[0]) == (40, 240, (80 - 16 * 4) // 2)
