"""Parity with the official AudioMAE, global decoder: every tensor of facebookresearch/AudioMAE at commit bd60e29.

`tests/golden/audiomae.json` says how it was made. The reference lays tokens out by 64 times and 8 bands, but takes the table of
positions of 8 by 64. Our network with its tables gives its numbers (`outputs/`); with our own tables it gives those of the
reference after that is repaired (`corrected/`). A separate implementation agreed within 1.5e-6 on outputs and 4e-9 on
gradients; the tolerances of the fixture are 1e-5 on outputs, 5e-6 on losses, 4e-8 on gradients and 1e-5 relative on norms.
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
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.embed import every_token, patches_of
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Output
from trainers.objectives import over_tokens, squared_error
from trainers.published.autoencoders import naming, our_layout, our_name
from trainers.published.naming import WeightsError
from trainers.targets.patches import standardise_patches

GOLDEN = Golden.open("audiomae")
MODALITY = LogMel(frames=1024, bins=128, patch=16)
TABLES = {"pos_embed": "encoder", "decoder_pos_embed": "decoder"}
FEATURES = GOLDEN.tensors["inputs/spectrogram"][:, 0] * 2 * LOGMEL_STD + LOGMEL_MEAN
PATCHES = patches_of(MODALITY, FEATURES)
PLAN = random_plan(GOLDEN.tensors["noise/noise"], GOLDEN.about["call"]["kept"])


def network_with(tables: str) -> MaskedAutoencoderNetwork:
    """Our network with the golden weights and the tables of positions under a prefix of the fixture."""
    made = GOLDEN.about["constructor"]
    architecture = MaskedAutoencoder(
        width=made["embed_dim"],
        depth=made["depth"],
        heads=made["num_heads"],
        decoder=GlobalDecoder(
            width=made["decoder_embed_dim"], depth=made["decoder_depth"], heads=made["decoder_num_heads"]
        ),
    )
    network = architecture.build((MODALITY,), outputs={"patches": Output(dim=MODALITY.patch_values)})
    weights = {name: value for name, value in GOLDEN.under("weights/").items() if name not in TABLES}
    naming(network).load(weights, network)
    for name, side in TABLES.items():
        network.get_submodule(side).get_buffer("positions.table").copy_(GOLDEN.tensors[f"{tables}/{name}"][0, 1:])
    return network


@dataclass(frozen=True)
class Run:
    """A network, run forward and backward once on the golden spectrograms and noise."""

    network: MaskedAutoencoderNetwork
    full_prediction: Tensor
    loss: Tensor
    raw_loss: Tensor


def run_of(network: MaskedAutoencoderNetwork, plan: MaskPlan = PLAN) -> Run:
    everything = MaskPlan(visible=plan.visible, target=every_token(2, length=512, device=torch.device("cpu")))
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
    separable = {"latent_2d", "mask_2d", "ids_restore_2d", "loss_2d"}
    assert set(GOLDEN.under("outputs/")) == plain | separable | {"tokens_with_pos"}
    repaired = {"pos_embed", "decoder_pos_embed", "latent", "loss", "loss_raw_pixels", "pred_mean_per_token", "loss_2d"}
    assert set(GOLDEN.under("corrected/")) == repaired


def test_plan_hides_what_the_reference_hides() -> None:
    for plan, ending in ((PLAN, ""), (separable_plan(), "_2d")):
        mask = torch.ones(2, 512).scatter(1, plan.visible, 0.0)
        assert torch.equal(mask, GOLDEN.tensors[f"outputs/mask{ending}"])
        kept_first = GOLDEN.tensors[f"outputs/ids_restore{ending}"].argsort(dim=1)[:, : plan.visible.shape[1]]
        assert torch.equal(plan.visible, kept_first)


def test_statistics_of_patches_are_those_of_the_reference() -> None:
    mean, spread = mean_and_spread(PATCHES)
    GOLDEN.assert_output(mean[..., 0], "outputs/target_mean")
    GOLDEN.assert_output(spread[..., 0].square() - VARIANCE_FLOOR, "outputs/target_var_unbiased")


def test_encoded_tokens_are_those_of_the_reference(shipped: Run) -> None:
    everything = every_token(2, length=512, device=torch.device("cpu"))
    GOLDEN.assert_output(shipped.network.encoder.tokens(PATCHES, everything).detach(), "outputs/tokens_with_pos")
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
    ours = MaskedAutoencoder(width=24, depth=1, heads=3, decoder=GlobalDecoder(width=16, depth=1, heads=4))
    network = ours.build((MODALITY,), outputs={"patches": Output(dim=256)})
    for name, side in TABLES.items():
        positions = network.get_submodule(side).get_buffer("positions.table")
        torch.testing.assert_close(positions, GOLDEN.tensors[f"corrected/{name}"][0, 1:], atol=1e-6, rtol=0)
        # One time later in the same band: the reference says row 0, column 8 of another grid.
        assert (positions - GOLDEN.tensors[f"weights/{name}"][0, 1:]).abs().max() > 1


def test_with_our_positions_outputs_are_those_of_the_repaired_reference(corrected: Run) -> None:
    GOLDEN.assert_output(latent(corrected.network, PLAN), "corrected/latent")
    GOLDEN.assert_output(corrected.full_prediction.mean(dim=-1), "corrected/pred_mean_per_token")
    GOLDEN.assert_loss(corrected.loss, "corrected/loss")
    GOLDEN.assert_loss(corrected.raw_loss, "corrected/loss_raw_pixels")
    GOLDEN.assert_loss(run_of(network_with("corrected"), separable_plan()).loss, "corrected/loss_2d")


def test_the_difference_that_positions_make_is_no_rounding(shipped: Run, corrected: Run) -> None:
    assert (corrected.loss - shipped.loss).abs() > 5e-3
    assert (corrected.full_prediction - shipped.full_prediction).abs().max() > 0.1


def test_weights_with_the_positions_of_the_reference_are_refused() -> None:
    with pytest.raises(WeightsError, match="ordered otherwise"):
        network = network_with("corrected")
        naming(network).load(GOLDEN.under("weights/"), network)
