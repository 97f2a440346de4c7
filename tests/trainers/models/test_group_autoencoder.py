"""The masked autoencoder of groups of points."""

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image, Points
from pipelines.tokenizers.vq.groups import PointGroups
from shards.errors import SettingsError
from trainers.models.group_autoencoder import GroupAutoencoder, GroupAutoencoderNetwork
from trainers.nn.network import Output

POINTS = Points(count=32, groups=6, neighbours=4)
ARCHITECTURE = GroupAutoencoder(width=24, depth=2, heads=3, decoder_depth=1, decoder_heads=2, drop_path=0.0)
PLAN = MaskPlan(visible=torch.tensor([[0, 2], [1, 5]]), target=torch.tensor([[1, 3, 4], [0, 4, 2]]))


def network() -> GroupAutoencoderNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((POINTS,), outputs={"points": Output(dim=12)})


def groups(seed: int = 0) -> PointGroups:
    generator = torch.Generator().manual_seed(seed)
    centres, points = torch.randn(2, 6, 3, generator=generator), torch.randn(2, 6, 4, 3, generator=generator)
    return PointGroups(centres=centres, points=points)


def predicted(shown: PointGroups, plan: MaskPlan = PLAN) -> Tensor:
    return network().predict(shown, plan)["points"]


def test_predictions_follow_the_order_of_the_target() -> None:
    turned = MaskPlan(visible=PLAN.visible, target=PLAN.target.flip(1))
    torch.testing.assert_close(predicted(groups()), predicted(groups(), turned).flip(1))


def test_hidden_points_reach_neither_a_prediction_nor_a_statistic_in_training() -> None:
    changed = groups().points.clone()
    for sample, hidden in enumerate(PLAN.target.tolist()):
        changed[sample, hidden] += 5
    assert torch.equal(predicted(groups()), predicted(PointGroups(centres=groups().centres, points=changed)))


def test_the_order_of_the_points_of_a_group_does_not_matter() -> None:
    turned = PointGroups(centres=groups().centres, points=groups().points.flip(2))
    torch.testing.assert_close(predicted(groups()), predicted(turned))


def test_where_hidden_groups_are_matters() -> None:
    moved = groups().centres.clone()
    moved[0, 3] += 0.5
    assert not torch.allclose(predicted(groups())[0], predicted(PointGroups(centres=moved, points=groups().points))[0])


def test_other_modalities_and_places_are_refused() -> None:
    with pytest.raises(SettingsError, match="'image' is none"):
        ARCHITECTURE.build((Image(size=16, patch=4),), outputs={"points": Output(dim=12)})
    with pytest.raises(SettingsError, match="group_autoencoder predicts at target"):
        ARCHITECTURE.build((POINTS,), outputs={"points": Output(dim=12, places="visible")})
