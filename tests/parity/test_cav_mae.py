"""Parity with the official CAV-MAE: every tensor of a run of YuanGongND/cav-mae at commit 68fe8c2.

Its sound runs by band, then time, within patches too; ours by time, then band. So tokens, patches and the weights that
touch them are turned over before anything is compared.
"""

from dataclasses import dataclass

import pytest
import torch
from einops import rearrange
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.masking.random import random_plan
from pipelines.modalities import Clip, Image, LogMel
from tests.parity.golden import Golden
from trainers.contrast import contrastive_loss
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder, MultimodalAutoencoderNetwork
from trainers.nn.blocks import BlockStyle
from trainers.nn.gather import gather_tokens
from trainers.nn.joint_decoders import JointDecoder
from trainers.nn.network import Output, summary
from trainers.nn.positions import position_table
from trainers.objectives import over_tokens, squared_error
from trainers.published import cav_mae
from trainers.recipes.cav_mae import recipe
from trainers.targets.patches import standardise_patches
from trainers.terms import Contrast, Goals

GOLDEN = Golden.open("cavmae")
MADE = GOLDEN.about["constructor"]
SOUND = LogMel(frames=MADE["audio_length"], bins=128, patch=16, mean=0.0, spread=1.0)
PICTURE = Clip(size=MADE["img_size"], patch=16, frames=1, tubelet=1)
TURNED = torch.arange(SOUND.num_tokens).reshape(8, -1).T.flatten()
"""The place in the reference of each of our tokens of sound."""


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once on the golden sounds and pictures."""

    network: MultimodalAutoencoderNetwork
    inputs: dict[str, Tensor]
    plans: dict[str, MaskPlan]
    predictions: dict[str, Tensor]
    losses: dict[str, Tensor]


def built() -> MultimodalAutoencoderNetwork:
    design = recipe().model
    assert isinstance(design, MultimodalAutoencoder)
    decoder = design.decoder
    assert isinstance(decoder, JointDecoder)
    architecture = MultimodalAutoencoder(
        width=MADE["embed_dim"],
        own_depth=MADE["modality_specific_depth"],
        depth=1,
        heads=MADE["num_heads"],
        decoder=JointDecoder(
            width=MADE["decoder_embed_dim"],
            depth=MADE["decoder_depth"],
            heads=MADE["decoder_num_heads"],
            own_mask_tokens=decoder.own_mask_tokens,
        ),
        class_token=design.class_token,
        summaries=design.summaries,
        row_first=design.row_first,
        style=design.style,
    )
    outputs = {
        "sound": Output(dim=SOUND.patch_values, modality="logmel"),
        "picture": Output(dim=PICTURE.patch_values, modality="video"),
    }
    network = architecture.build((SOUND, PICTURE), outputs=outputs)
    cav_mae.naming(network).load(GOLDEN.under("weights/"), network)
    return network


def plan_of(noise: Tensor) -> MaskPlan:
    return random_plan(noise, noise.shape[1] // 4)


@pytest.fixture(scope="module")
def run() -> Run:
    network = built()
    inputs = {"logmel": GOLDEN.tensors["inputs/audio"], "video": GOLDEN.tensors["inputs/image"][:, :, None]}
    plans = {
        "logmel": plan_of(GOLDEN.tensors["noise/noise_audio"][:, TURNED]),
        "video": plan_of(GOLDEN.tensors["noise/noise_visual"]),
    }
    predictions = network(inputs, plans)
    losses = {
        name: over_tokens(
            squared_error(
                predictions[name],
                gather_tokens(standardise_patches(network.encoder.stems[of].contents(inputs[of])), plans[of].target),
            )
        )
        for name, of in (("sound", "logmel"), ("picture", "video"))
    }
    contrast = Contrast(between=("logmel", "video"), temperature=0.05, directions="first")
    losses["contrast"] = contrast.value(predictions, Goals(wanted={}))
    losses["total"] = losses["sound"] + losses["picture"] + 0.01 * losses["contrast"]
    losses["total"].backward()
    return Run(
        network,
        inputs,
        plans,
        {name: values.detach() for name, values in predictions.items()},
        {name: loss.detach() for name, loss in losses.items()},
    )


def test_encoded_tokens_are_those_of_the_reference(run: Run) -> None:
    with torch.no_grad():
        alone = run.network.encoder.alone(run.inputs, run.plans)
        GOLDEN.assert_output(run.network.encoder.together(alone).joined()[0], "outputs/latent_joint")
        GOLDEN.assert_output(run.network.encoder.stream(alone, "logmel"), "outputs/latent_audio")
        GOLDEN.assert_output(run.network.encoder.stream(alone, "video"), "outputs/latent_visual")


def turned_patches(values: Tensor) -> Tensor:
    """Values of the reference's patches of sound in the order of ours."""
    return rearrange(values, "... (bin frame) -> ... (frame bin)", bin=16)


def test_predictions_are_those_of_the_reference(run: Run) -> None:
    sound = turned_patches(GOLDEN.tensors["outputs/pred_audio"][:, TURNED])
    expected = {
        "sound": gather_tokens(sound, run.plans["logmel"].target),
        "picture": gather_tokens(GOLDEN.tensors["outputs/pred_visual"], run.plans["video"].target),
    }
    for name, values in expected.items():
        torch.testing.assert_close(run.predictions[name], values, atol=GOLDEN.tolerance["float_outputs_atol"], rtol=0)


def test_losses_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_loss(run.losses["sound"], "outputs/loss_mae_audio")
    GOLDEN.assert_loss(run.losses["picture"], "outputs/loss_mae_visual")
    GOLDEN.assert_loss(run.losses["sound"] + run.losses["picture"], "outputs/loss_mae")
    GOLDEN.assert_loss(run.losses["contrast"], "outputs/loss_infonce")
    GOLDEN.assert_loss(0.01 * run.losses["contrast"], "outputs/loss_contrastive_weighted")
    GOLDEN.assert_loss(run.losses["total"], "outputs/loss")


def test_looking_both_ways_is_what_the_reference_calls_bidirectional(run: Run) -> None:
    sound, picture = (run.predictions[summary(name)] for name in ("logmel", "video"))
    found = contrastive_loss(
        sound, picture, present=torch.ones(4, dtype=torch.bool), temperature=0.05, directions="both"
    )
    GOLDEN.assert_loss(found, "outputs/loss_infonce_bidirectional")


def test_cosines_and_who_is_found_are_those_of_the_reference(run: Run) -> None:
    sound, picture = (
        torch.nn.functional.normalize(run.predictions[summary(name)], dim=-1) for name in ("logmel", "video")
    )
    logits = sound @ picture.T / 0.05
    # A logit is a cosine times 20, and so is its rounding.
    torch.testing.assert_close(logits, GOLDEN.tensors["outputs/contrastive_logits"], atol=2e-5, rtol=0)
    is_found = (logits.argmax(dim=0) == torch.arange(4)).float()
    GOLDEN.assert_loss(is_found.mean(), "outputs/accuracy")
    both = (is_found.mean() + (logits.argmax(dim=1) == torch.arange(4)).float().mean()) / 2
    GOLDEN.assert_loss(both, "outputs/accuracy_bidirectional")


def test_features_of_whole_samples_are_those_of_the_reference(run: Run) -> None:
    with torch.no_grad():
        each = run.network.represent_each(run.inputs)
    for name, official in (("logmel", "audio"), ("video", "visual")):
        expected = GOLDEN.tensors[f"outputs/feat_{official}_unmasked"].mean(dim=1)
        torch.testing.assert_close(each[name], expected, atol=GOLDEN.tolerance["float_outputs_atol"], rtol=0)


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradients(run.network, cav_mae.our_name, cav_mae.our_layout)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradient_norms(run.network, cav_mae.our_name)


def test_masks_hide_what_the_reference_hides(run: Run) -> None:
    for name, turned in (("audio", TURNED), ("visual", slice(None))):
        plan = run.plans["logmel" if name == "audio" else "video"]
        hidden = torch.zeros_like(GOLDEN.tensors[f"outputs/mask_{name}"]).scatter(1, plan.target, 1.0)
        assert torch.equal(hidden, GOLDEN.tensors[f"outputs/mask_{name}"][:, turned])


def test_position_tables_are_those_of_the_reference() -> None:
    tables = Golden.open("fn_posembed").tensors
    sound = LogMel(frames=64, bins=128, patch=16)
    turned = torch.arange(32).reshape(8, 4).T.flatten()
    found = position_table(sound, width=24, first="row")
    torch.testing.assert_close(found, tables["outputs/cavmae_2d_audio"][turned], atol=1e-6, rtol=0)
    picture = position_table(Image(size=64, patch=16), width=24)
    torch.testing.assert_close(picture, tables["outputs/cavmae_2d_square"], atol=1e-6, rtol=0)


def test_the_style_of_the_recipe_is_that_of_the_code() -> None:
    design = recipe().model
    assert isinstance(design, MultimodalAutoencoder)
    assert design.style == BlockStyle(norm_eps=1e-5)
