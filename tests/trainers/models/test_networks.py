"""What every image architecture promises, checked on each of them."""

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from pipelines.transforms.image import normalise
from shards.errors import SettingsError
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.network import Network, Output, Places
from trainers.recipe import Architecture

IMAGE = Image(size=16, patch=4)
ARCHITECTURES = {
    "masked_autoencoder": MaskedAutoencoder(
        width=24, depth=2, heads=3, decoder=GlobalDecoder(width=16, depth=1, heads=2)
    ),
    "mask_token_encoder": MaskTokenEncoder(width=24, depth=2, heads=3),
    "mask_token_encoder of displacements": MaskTokenEncoder(
        width=24, depth=2, heads=3, positions="relative", start="damped", layer_scale=0.5
    ),
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


@pytest.fixture
def network(architecture: Architecture) -> Network:
    torch.manual_seed(0)
    return architecture.build((IMAGE,), outputs={"patches": Output(dim=48), "hog": Output(dim=108)})


def pixels(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)


def plan_of(*, visible: list[int], target: list[int]) -> dict[str, MaskPlan]:
    return {"image": MaskPlan(visible=torch.tensor([visible] * 2), target=torch.tensor([target] * 2))}


def test_each_target_gets_its_predictions_at_the_target_tokens(network: Network) -> None:
    predictions = network({"image": pixels()}, plan_of(visible=[0, 1, 2], target=[5, 9]))
    assert {name: tuple(values.shape) for name, values in predictions.items()} == {
        "patches": (2, 2, 48),
        "hog": (2, 2, 108),
    }


def test_predictions_follow_the_order_of_the_target(network: Network) -> None:
    there = network({"image": pixels()}, plan_of(visible=[0, 1, 2], target=[5, 9, 7]))["hog"]
    back = network({"image": pixels()}, plan_of(visible=[0, 1, 2], target=[7, 9, 5]))["hog"]
    torch.testing.assert_close(there, back.flip(1))


def test_predictions_do_not_depend_on_the_order_of_the_visible(network: Network) -> None:
    there = network({"image": pixels()}, plan_of(visible=[0, 6, 2], target=[5, 9]))["hog"]
    back = network({"image": pixels()}, plan_of(visible=[2, 0, 6], target=[5, 9]))["hog"]
    torch.testing.assert_close(there, back)


def test_hidden_pixels_never_reach_a_prediction(network: Network) -> None:
    plans = plan_of(visible=[0], target=list(range(1, 16)))
    changed = pixels(seed=1)
    changed[:, :, :4, :4] = pixels()[:, :, :4, :4]
    before, after = network({"image": pixels()}, plans), network({"image": changed}, plans)
    assert torch.equal(before["patches"], after["patches"])


def test_visible_pixels_reach_every_prediction(network: Network) -> None:
    plans = plan_of(visible=[0], target=list(range(1, 16)))
    changed = pixels()
    changed[:, :, :4, :4] = pixels(seed=1)[:, :, :4, :4]
    before, after = network({"image": pixels()}, plans), network({"image": changed}, plans)
    assert (before["patches"] != after["patches"]).any(dim=-1).all()


def test_a_target_of_everything_predicts_the_whole_picture(network: Network) -> None:
    some = network({"image": pixels()}, plan_of(visible=[3, 1], target=[4, 8]))["patches"]
    whole = network({"image": pixels()}, plan_of(visible=[3, 1], target=list(range(16))))["patches"]
    assert whole.shape == (2, 16, 48)
    torch.testing.assert_close(whole[:, [4, 8]], some)


def test_pixels_are_normalised_inside_and_floats_taken_as_they_are(network: Network) -> None:
    plans = plan_of(visible=[0, 1, 2], target=[5, 9])
    from_pixels = network({"image": pixels()}, plans)["patches"]
    from_floats = network({"image": normalise(pixels())}, plans)["patches"]
    assert torch.equal(from_pixels, from_floats)


def test_encoding_has_a_class_token_and_one_token_for_each_patch_in_order(network: Network) -> None:
    encoded = network.encode({"image": pixels()})
    assert encoded.shape == (2, 17, network.width)
    assert network.num_prefix_tokens == 1
    moved = pixels()
    moved[:, :, 4:8, :4] = pixels(seed=1)[:, :, 4:8, :4]
    moving = (network.encode({"image": moved}) - encoded).abs().sum(dim=-1)
    assert torch.equal(moving[:, 1:].argmax(dim=1), torch.tensor([4, 4]))


def test_pooling_is_the_mean_of_the_patch_tokens(network: Network) -> None:
    encoded = network.encode({"image": pixels()})
    torch.testing.assert_close(network.pool(encoded), encoded[:, 1:].mean(dim=1))


def test_two_modalities_are_refused_by_a_single_stream(architecture: Architecture) -> None:
    other = Image(size=16, patch=4, field="depth")
    with pytest.raises(SettingsError, match="exactly one modality; this recipe has image, depth"):
        architecture.build((IMAGE, other), outputs={"patches": Output(dim=48)})


def test_bfloat16_predictions_are_near_those_of_float32(network: Network) -> None:
    plans = plan_of(visible=[0, 1, 2], target=[5, 9])
    exact = network({"image": pixels()}, plans)["patches"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network({"image": pixels()}, plans)["patches"]
    assert rounded.dtype is torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("places", ["visible", "sample"])
def test_what_is_seen_can_be_predicted_too(architecture: Architecture, places: Places) -> None:
    torch.manual_seed(0)
    outputs = {"patches": Output(dim=48), "features": Output(dim=5, places=places)}
    network = architecture.build((IMAGE,), outputs=outputs)
    plans = plan_of(visible=[2, 0, 7], target=[5, 9])
    found = network({"image": pixels()}, plans)
    assert found["patches"].shape == (2, 2, 48)
    assert found["features"].shape == ((2, 3, 5) if places == "visible" else (2, 5))
    changed = pixels(seed=1)
    for row, column in ((0, 8), (0, 0), (4, 12)):
        changed[:, :, row : row + 4, column : column + 4] = pixels()[:, :, row : row + 4, column : column + 4]
    assert torch.equal(network({"image": changed}, plans)["features"], found["features"])


def test_features_of_visible_tokens_come_from_the_encoder_and_pixels_from_the_decoder() -> None:
    outputs = {"patches": Output(dim=48), "features": Output(dim=5, places="visible")}
    network = ARCHITECTURES["masked_autoencoder"].build((IMAGE,), outputs=outputs)
    found = network({"image": pixels()}, plan_of(visible=[2, 0, 7], target=[5, 9]))
    found["features"].sum().backward()
    reached = {name.partition(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert reached == {"encoder", "heads"}


def test_a_decoder_without_a_target_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one target has to be at target tokens"):
        ARCHITECTURES["masked_autoencoder"].build((IMAGE,), outputs={"features": Output(dim=5, places="visible")})
