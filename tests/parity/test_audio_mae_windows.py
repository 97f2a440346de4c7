"""Parity with the official AudioMAE, decoder of local windows: every tensor of facebookresearch/AudioMAE at commit bd60e29.

`tests/golden/audiomae_swin.json` says how it was made: evaluation mode, since a small network inside attention is trained with
dropout. As in `test_audio_mae`, the network with the tables of positions of the reference gives its numbers (`outputs/`), and
with our own those of the repaired reference (`corrected/`). A separate implementation agreed within 1.7e-6 on outputs, 1.7e-7
on gradients and 1.2e-5 relative on their norms; the tolerances of the fixture are 1e-5 on outputs, 5e-6 on losses, 2e-6 on
gradients and 6e-5 relative on norms.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.masking.random import random_plan
from pipelines.modalities import LogMel
from pipelines.tokenizers.vq.contents import LOGMEL_MEAN, LOGMEL_STD
from pipelines.transforms.patches import VARIANCE_FLOOR, mean_and_spread
from tests.parity.golden import Golden, plan_of_mask
from trainers.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderNetwork
from trainers.nn.embed import every_token, patches_of
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Output
from trainers.nn.window_decoder import WindowDecoder
from trainers.objectives import over_tokens, squared_error
from trainers.published.autoencoders import our_layout, our_name
from trainers.recipes.audio_mae import recipe
from trainers.targets.patches import standardise_patches

GOLDEN = Golden.open("audiomae_swin")
BLOCKS = 16
MODALITY = LogMel(frames=1024, bins=128, patch=16)
TABLES = {"pos_embed": "encoder", "decoder_pos_embed": "decoder"}
FEATURES = GOLDEN.tensors["inputs/spectrogram"][:, 0] * 2 * LOGMEL_STD + LOGMEL_MEAN
PATCHES = patches_of(MODALITY, FEATURES)
PLAN = random_plan(GOLDEN.tensors["noise/noise"], GOLDEN.about["call"]["kept"])


def design() -> WindowDecoder:
    """The windows of the recipe, with the width, depth and heads of the fixture."""
    model = recipe().model
    assert isinstance(model, MaskedAutoencoder)
    assert isinstance(model.decoder, WindowDecoder)
    made = GOLDEN.about["constructor"]
    return WindowDecoder(
        width=made["decoder_embed_dim"],
        depth=BLOCKS,
        heads=made["decoder_num_heads"],
        window=model.decoder.window,
        shift=model.decoder.shift,
    )


def network_with(tables: str) -> MaskedAutoencoderNetwork:
    """Our network with the golden weights and the tables of positions under a prefix of the fixture."""
    made = GOLDEN.about["constructor"]
    architecture = MaskedAutoencoder(
        width=made["embed_dim"], depth=made["depth"], heads=made["num_heads"], decoder=design()
    )
    network = architecture.build((MODALITY,), outputs={"patches": Output(dim=MODALITY.patch_values)})
    official = {name: value for name, value in GOLDEN.under("weights/").items() if name not in TABLES}
    network.load_state_dict({our_name(name): our_layout(name, value) for name, value in official.items()})
    for name, side in TABLES.items():
        network.get_submodule(side).get_buffer("positions.table").copy_(GOLDEN.tensors[f"{tables}/{name}"][0, 1:])
    return network.eval()


@dataclass(frozen=True)
class Run:
    """A network, run forward and backward once on the golden spectrogram and noise."""

    network: MaskedAutoencoderNetwork
    full_prediction: Tensor
    loss: Tensor
    raw_loss: Tensor


def run_of(network: MaskedAutoencoderNetwork, plan: MaskPlan = PLAN) -> Run:
    everything = MaskPlan(visible=plan.visible, target=every_token(1, length=512, device=torch.device("cpu")))
    full_prediction = network({"logmel": FEATURES}, {"logmel": everything})["patches"].detach()
    prediction = network({"logmel": FEATURES}, {"logmel": plan})["patches"]
    raw_loss = over_tokens(squared_error(prediction, gather_tokens(PATCHES, plan.target))).detach()
    loss = over_tokens(squared_error(prediction, gather_tokens(standardise_patches(PATCHES), plan.target)))
    loss.backward()
    return Run(network, full_prediction, loss.detach(), raw_loss)


@pytest.fixture(scope="module")
def shipped() -> Run:
    return run_of(network_with("weights"))


@pytest.fixture(scope="module")
def corrected() -> Run:
    return run_of(network_with("corrected"))


def latent(network: MaskedAutoencoderNetwork, plan: MaskPlan) -> Tensor:
    encoded: Tensor = network.encoder(gather_tokens(PATCHES, plan.visible), plan.visible).detach()
    return encoded


def separable_plan() -> MaskPlan:
    """The plan that hides whole times and whole bands, from the golden noise."""
    return plan_of_mask(GOLDEN.tensors["outputs/mask_2d"].long())


def test_every_output_of_the_fixture_is_compared() -> None:
    plain = {"latent", "pred", "mask", "ids_restore", "target_mean", "target_var_unbiased", "loss", "loss_raw_pixels"}
    assert set(GOLDEN.under("outputs/")) == plain | {"latent_2d", "mask_2d", "ids_restore_2d", "loss_2d"}
    repaired = {"pos_embed", "decoder_pos_embed", "latent", "loss", "loss_raw_pixels", "pred_mean_per_token", "loss_2d"}
    assert set(GOLDEN.under("corrected/")) == repaired


def test_the_recipe_has_as_many_blocks_and_heads_as_the_reference() -> None:
    model = recipe().model
    assert isinstance(model, MaskedAutoencoder)
    assert isinstance(model.decoder, WindowDecoder)
    assert (model.decoder.depth, model.decoder.heads) == (BLOCKS, GOLDEN.about["constructor"]["decoder_num_heads"])
    assert {name.partition(".")[0] for name in GOLDEN.under("weights/decoder_blocks.")} == set(map(str, range(BLOCKS)))


def test_plan_hides_what_the_reference_hides() -> None:
    for plan, ending in ((PLAN, ""), (separable_plan(), "_2d")):
        mask = torch.ones(1, 512).scatter(1, plan.visible, 0.0)
        assert torch.equal(mask, GOLDEN.tensors[f"outputs/mask{ending}"])
        kept_first = GOLDEN.tensors[f"outputs/ids_restore{ending}"].argsort(dim=1)[:, : plan.visible.shape[1]]
        assert torch.equal(plan.visible, kept_first)


def test_statistics_of_patches_are_those_of_the_reference() -> None:
    mean, spread = mean_and_spread(PATCHES)
    GOLDEN.assert_output(mean[..., 0], "outputs/target_mean")
    GOLDEN.assert_output(spread[..., 0].square() - VARIANCE_FLOOR, "outputs/target_var_unbiased")


def test_encoded_tokens_are_those_of_the_reference(shipped: Run) -> None:
    GOLDEN.assert_output(latent(shipped.network, PLAN), "outputs/latent")
    GOLDEN.assert_output(latent(shipped.network, separable_plan()), "outputs/latent_2d")


def test_predictions_are_those_of_the_reference(shipped: Run) -> None:
    GOLDEN.assert_output(shipped.full_prediction, "outputs/pred")


def test_losses_are_those_of_the_reference(shipped: Run) -> None:
    GOLDEN.assert_loss(shipped.loss, "outputs/loss")
    GOLDEN.assert_loss(shipped.raw_loss, "outputs/loss_raw_pixels")
    GOLDEN.assert_loss(run_of(network_with("weights"), separable_plan()).loss, "outputs/loss_2d")


def test_gradients_are_those_of_the_reference(shipped: Run) -> None:
    GOLDEN.assert_gradients(shipped.network, our_name, our_layout)
    GOLDEN.assert_gradient_norms(shipped.network, our_name)


def test_our_positions_are_the_repaired_ones_of_the_reference() -> None:
    made = GOLDEN.about["constructor"]
    ours = MaskedAutoencoder(width=made["embed_dim"], depth=1, heads=made["num_heads"], decoder=design())
    network = ours.build((MODALITY,), outputs={"patches": Output(dim=256)})
    for name, side in TABLES.items():
        positions = network.get_submodule(side).get_buffer("positions.table")
        torch.testing.assert_close(positions, GOLDEN.tensors[f"corrected/{name}"][0, 1:], atol=1e-6, rtol=0)


def test_with_our_positions_outputs_are_those_of_the_repaired_reference(corrected: Run) -> None:
    GOLDEN.assert_output(latent(corrected.network, PLAN), "corrected/latent")
    GOLDEN.assert_output(corrected.full_prediction.mean(dim=-1), "corrected/pred_mean_per_token")
    GOLDEN.assert_loss(corrected.loss, "corrected/loss")
    GOLDEN.assert_loss(corrected.raw_loss, "corrected/loss_raw_pixels")
    GOLDEN.assert_loss(run_of(network_with("corrected"), separable_plan()).loss, "corrected/loss_2d")


def test_without_the_walls_of_moved_windows_predictions_are_others(shipped: Run) -> None:
    network = network_with("weights")
    for block in network.decoder.blocks:
        block.attention.walls.zero_()
    assert (run_of(network).full_prediction - shipped.full_prediction).abs().max() > 1e-3


def test_in_training_biases_are_dropped_now_and_then(shipped: Run) -> None:
    network = network_with("weights").train()
    torch.manual_seed(0)
    assert (run_of(network).full_prediction - shipped.full_prediction).abs().max() > 1e-3
