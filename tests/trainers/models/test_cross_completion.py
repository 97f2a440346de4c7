"""A picture is completed with the help of another one."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Clip, Image
from shards.errors import SettingsError
from trainers.models.cross_completion import CrossCompletion, CrossCompletionNetwork
from trainers.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderNetwork
from trainers.nn.cross_block import CrossBlock
from trainers.nn.cross_decoder import CrossDecoder
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.network import Output

LEFT, RIGHT = (Image(field=field, size=16, patch=4) for field in ("left", "right"))
ARCHITECTURE = CrossCompletion(width=24, depth=2, heads=3, decoder=CrossDecoder(width=16, depth=2, heads=2))
OUTPUTS = {"patches": Output(dim=48, modality="left")}
SEEN = torch.arange(16).expand(2, -1)
PLANS = {
    "left": MaskPlan(
        visible=torch.tensor([[3, 0], [9, 15]]),
        target=torch.tensor([[1, 2, *range(4, 16)], [*range(9), *range(10, 15)]]),
    ),
    "right": MaskPlan(visible=SEEN, target=SEEN[:, :0]),
}


def network() -> CrossCompletionNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((LEFT, RIGHT), outputs=OUTPUTS)


def pictures(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(2, 3, 16, 16, generator=generator) for name in ("left", "right")}


def patch_of(picture: Tensor, place: int) -> Tensor:
    """The pixels of a patch of 4 x 4, as a part of the picture that can be written to."""
    row, column = divmod(place, 4)
    return picture[..., 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]


def predicted(inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan] = PLANS) -> Tensor:
    return network()(inputs, plans)["patches"]


def test_predictions_follow_the_order_of_the_target() -> None:
    turned = {**PLANS, "left": MaskPlan(visible=PLANS["left"].visible, target=PLANS["left"].target.flip(1))}
    torch.testing.assert_close(predicted(pictures(), turned), predicted(pictures()).flip(1))


def test_hidden_patches_of_the_first_picture_reach_no_prediction_but_visible_ones_do() -> None:
    hidden, shown = pictures(), pictures()
    for sample, places in enumerate(PLANS["left"].target.tolist()):
        for place in places:
            patch_of(hidden["left"][sample], place).add_(5)
    assert torch.equal(predicted(hidden), predicted(pictures()))
    patch_of(shown["left"][0], 3).add_(5)
    assert not torch.allclose(predicted(shown)[0], predicted(pictures())[0])
    assert torch.equal(predicted(shown)[1], predicted(pictures())[1])


@pytest.mark.parametrize("place", [0, 7, 15])
def test_every_patch_of_the_second_picture_helps(place: int) -> None:
    changed = pictures()
    patch_of(changed["right"], place).add_(5)
    assert not torch.allclose(predicted(changed), predicted(pictures()))


def test_where_a_patch_of_the_second_picture_is_matters() -> None:
    inputs = pictures()
    rolled = {**inputs, "right": inputs["right"].roll(4, dims=-1)}
    assert not torch.allclose(predicted(rolled), predicted(inputs))


def test_of_a_second_picture_that_is_masked_hidden_patches_do_not_help() -> None:
    changed = pictures()
    patch_of(changed["right"], 15).add_(5)
    masked = {**PLANS, "right": MaskPlan(visible=SEEN[:, :15], target=SEEN[:, 15:])}
    assert torch.equal(predicted(changed, masked), predicted(pictures(), masked))


def test_the_gradient_reaches_both_pictures_through_the_one_encoder() -> None:
    inputs = {name: picture.requires_grad_() for name, picture in pictures().items()}
    network()(inputs, PLANS)["patches"].square().sum().backward()
    left, right = inputs["left"].grad, inputs["right"].grad
    assert left is not None
    assert right is not None
    assert all(patch_of(right, place).any() for place in range(16))
    assert [place for place in range(16) if patch_of(left[0], place).any()] == [0, 3]


def test_without_attention_to_the_second_picture_it_is_the_masked_autoencoder() -> None:
    cross, alone = deaf(network()), masked_autoencoder()
    alone.encoder.load_state_dict(cross.encoder.state_dict())
    alone.heads.load_state_dict(cross.heads.state_dict())
    alone.decoder.load_state_dict(
        {renamed(name): values for name, values in cross.decoder.state_dict().items() if is_shared(name)}
    )
    inputs = pictures()
    found = cross(inputs, PLANS)["patches"]
    torch.testing.assert_close(found, alone({"left": inputs["left"]}, {"left": PLANS["left"]})["patches"])


def deaf(cross: CrossCompletionNetwork) -> CrossCompletionNetwork:
    for block in cross.decoder.blocks:
        assert isinstance(block, CrossBlock)
        torch.nn.init.zeros_(block.cross_attention.projection.weight)
    return cross


def masked_autoencoder() -> MaskedAutoencoderNetwork:
    decoder = GlobalDecoder(width=16, depth=2, heads=2)
    architecture = MaskedAutoencoder(width=24, depth=2, heads=3, decoder=decoder, class_token=False)
    return architecture.build((LEFT,), outputs=OUTPUTS)


def is_shared(name: str) -> bool:
    return not any(part in name for part in ("cross_attention", "context_norm", "norm2"))


def renamed(name: str) -> str:
    return name.replace("norm3", "norm2")


def test_the_first_picture_is_encoded_alone_and_each_is_represented_by_itself() -> None:
    inputs, net = pictures(), network()
    tokens = net.encode({"left": inputs["left"]})
    assert tokens.shape == (2, 16, 24)
    each = net.represent_each(inputs)
    assert list(each) == ["left", "right"]
    torch.testing.assert_close(each["left"], tokens.mean(dim=1))
    torch.testing.assert_close(each["right"], net.represent({"left": inputs["right"]}))


def test_context_projections_start_as_matrices_of_their_own() -> None:
    torch.manual_seed(0)
    wide = CrossDecoder(width=64, depth=1, heads=2).build(LEFT, encoded_width=24)
    (block,) = wide.blocks
    assert isinstance(block, CrossBlock)
    bound = (6 / (64 + 64)) ** 0.5
    for projection in (block.cross_attention.query.weight, *block.cross_attention.key_value.weight.chunk(2)):
        assert 0.98 * bound < projection.abs().max() <= bound


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ((LEFT,), r"two pictures of one scene; this recipe has left \(Image\)"),
        ((LEFT, Clip(size=16, patch=4, frames=2)), r"left \(Image\), video \(Clip\)"),
        ((LEFT, Image(field="right", size=16, patch=8)), "in patches of 4 and 8. Set size and patch of both"),
    ],
)
def test_anything_but_two_alike_pictures_is_refused(modalities: tuple[Image | Clip, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ARCHITECTURE.build(modalities, outputs=OUTPUTS)


def test_nothing_is_predicted_of_the_second_picture_or_at_other_places() -> None:
    with pytest.raises(SettingsError, match=r"--set targets.patches.modality=left"):
        ARCHITECTURE.build((LEFT, RIGHT), outputs={"patches": Output(dim=48, modality="right")})
    with pytest.raises(SettingsError, match="cross_completion predicts at target"):
        ARCHITECTURE.build((LEFT, RIGHT), outputs={"patches": Output(dim=48, places="all", modality="left")})
