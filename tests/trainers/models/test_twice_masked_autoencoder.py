"""Two masks of one cloud, and what is said twice of the groups that both hide."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image, Modality, Points
from shards.errors import SettingsError
from tests.trainers.recipes.samples import KEYS, batch_for, small_settings
from trainers.models.group_autoencoder import GroupAutoencoder, GroupAutoencoderNetwork
from trainers.models.twice_masked_autoencoder import (
    DISAGREEMENT,
    Said,
    TwiceMaskedAutoencoder,
    TwiceMaskedNetwork,
    disagreement,
)
from trainers.nn.network import Output
from trainers.registry import resolve_recipe

ONCE, AGAIN = (Points(name=name, count=32, groups=6, neighbours=4) for name in ("once", "again"))
ARCHITECTURE = TwiceMaskedAutoencoder(width=24, depth=2, heads=3, decoder_depth=1, decoder_heads=2, drop_path=0.0)
OUTPUTS = {name: Output(dim=12, modality=name) for name in ("once", "again")}
PLANS = {
    "once": MaskPlan(visible=torch.tensor([[0, 2], [1, 5]]), target=torch.tensor([[1, 3, 4, 5], [0, 4, 2, 3]])),
    "again": MaskPlan(visible=torch.tensor([[0, 1], [3, 4]]), target=torch.tensor([[5, 4, 3, 2], [0, 1, 2, 5]])),
}
"""Both hide groups 3, 4 and 5 of the first cloud, 0 and 2 of the second."""


def network() -> TwiceMaskedNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((ONCE, AGAIN), outputs=OUTPUTS)


def clouds(seed: int = 0) -> dict[str, Tensor]:
    cloud = torch.randn(2, 32, 3, generator=torch.Generator().manual_seed(seed))
    return {"once": cloud, "again": cloud.clone()}


def alike(net: TwiceMaskedNetwork) -> TwiceMaskedNetwork:
    """The second decoder becomes the first."""
    net.decoders["again"].load_state_dict(net.decoders["once"].state_dict())
    return net


def test_each_mask_by_itself_is_the_autoencoder_of_groups() -> None:
    both = network()
    for name, modality in (("once", ONCE), ("again", AGAIN)):
        single = group_autoencoder(modality)
        for part, of in (
            (single.embed, both.embed),
            (single.encoder, both.encoder),
            (single.decoder, both.decoders[name]),
            (single.heads[name], both.heads[name]),
        ):
            part.load_state_dict(of.state_dict())
        found = both(clouds(), PLANS)[name]
        torch.testing.assert_close(found, single({name: clouds()[name]}, {name: PLANS[name]})[name])


def group_autoencoder(modality: Points) -> GroupAutoencoderNetwork:
    single = GroupAutoencoder(width=24, depth=2, heads=3, decoder_depth=1, decoder_heads=2, drop_path=0.0)
    return single.build((modality,), outputs={modality.name: OUTPUTS[modality.name]})


def test_equal_decoders_with_equal_masks_agree_and_others_do_not() -> None:
    same = dict.fromkeys(PLANS, PLANS["once"])
    torch.testing.assert_close(alike(network())(clouds(), same)[DISAGREEMENT], torch.zeros(2), atol=1e-6, rtol=0)
    assert (alike(network())(clouds(), PLANS)[DISAGREEMENT] > 1e-5).all()
    assert (network()(clouds(), same)[DISAGREEMENT] > 0.1).all()


def said(plan: MaskPlan, values: dict[int, list[float]]) -> Said:
    """Features of one cloud, by group."""
    rows = [values[place] for place in plan.target[0].tolist()]
    features = torch.tensor([rows], dtype=torch.float32, requires_grad=True)
    return Said(features=features, plan=plan)


def test_only_groups_hidden_by_both_are_compared_each_with_itself() -> None:
    visible = torch.zeros(1, 1, dtype=torch.int64)
    first = said(MaskPlan(visible=visible, target=torch.tensor([[1, 2, 3]])), {1: [1, 0], 2: [3, 0], 3: [0, 1]})
    second = said(MaskPlan(visible=visible, target=torch.tensor([[4, 3, 2]])), {4: [1, 0], 3: [0, -2], 2: [0, 7]})
    found = disagreement(first, second, count=6)
    torch.testing.assert_close(found, torch.tensor([(1 + 2) / 2]))  # group 2 at right angles, group 3 opposite
    found.sum().backward()
    for one in (first, second):
        assert one.features.grad is not None
        assert not one.features.grad[0, 0].any()
        assert one.features.grad[0].any()


def test_nothing_hidden_twice_is_no_disagreement() -> None:
    visible = torch.zeros(1, 1, dtype=torch.int64)
    first, second = (
        said(MaskPlan(visible=visible, target=torch.tensor([[place]])), {place: [1, 0]}) for place in (1, 2)
    )
    found = disagreement(first, second, count=3)
    assert found.tolist() == [0.0]
    found.sum().backward()
    assert first.features.grad is not None
    assert first.features.grad.isfinite().all()


def test_disagreement_reaches_both_decoders_and_the_encoder_but_no_head() -> None:
    net = network()
    net(clouds(), PLANS)[DISAGREEMENT].sum().backward()
    reached = {name.split(".")[0] for name, values in net.named_parameters() if values.grad is not None}
    assert reached == {"embed", "encoder", "decoders"}
    for decoder in net.decoders.values():
        assert all(values.grad is not None and values.grad.any() for values in decoder.parameters())


def test_each_mask_predicts_from_the_points_under_its_own_name() -> None:
    net, inputs = network().eval(), clouds()
    whole, moved = net(inputs, PLANS), net({**inputs, "again": inputs["again"] + 0.1}, PLANS)
    assert torch.equal(whole["once"], moved["once"])
    assert not torch.allclose(whole["again"], moved["again"])


def test_the_first_cloud_is_encoded_alone() -> None:
    net = network().eval()
    assert net.encode({"once": clouds()["once"]}).shape == (2, 6, 24)
    assert net.represent_each(clouds()) == {}


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ((ONCE,), r"this recipe has once \(Points\)"),
        ((ONCE, Image(size=16, patch=4)), r"image \(Image\)"),
        ((ONCE, Points(name="again", count=32, groups=6, neighbours=5)), "Change the settings of both alike"),
        ((ONCE, Points(name="again", count=32, groups=6, neighbours=4, look=1)), "the same points"),
    ],
)
def test_anything_but_one_cloud_twice_is_refused(modalities: tuple[Modality, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ARCHITECTURE.build(modalities, outputs=OUTPUTS)


def test_the_recipe_shows_the_same_points_under_two_masks_in_training_too() -> None:
    recipe = resolve_recipe("point_cmae", size="tiny", settings=small_settings("point_cmae"))
    drawn = batch_for(recipe)
    batch = recipe.augmented(replace(drawn, inputs=dict.fromkeys(drawn.inputs, drawn.inputs["points"])), seed=0)
    assert not torch.equal(batch.inputs["points"], drawn.inputs["points"])
    assert torch.equal(batch.inputs["points"], batch.inputs["points_again"])
    masks = [batch.plans[name].target.sort(dim=1).values for name in ("points", "points_again")]
    assert not torch.equal(*masks)
    assert len(masks[0]) == len(KEYS)
