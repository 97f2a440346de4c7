"""Parity with the official VideoMAE: every tensor of a run of MCG-NJU/VideoMAE at commit 14ef8d8.

`tests/golden/videomae.json` says how it was made, `fn_video_target.json` the target of whole clips. A separate
implementation agreed within 5e-7 on outputs and 2e-9 on gradients; the tolerances of the fixture are 1e-5 on outputs, 5e-6
on losses, 3e-8 on gradients and 1e-5 relative on their norms. The smallest wrong convention, eps 1e-5 in layer norms, moves
outputs by 1.8e-5.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip
from pipelines.randomness import Draws
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from tests.parity.golden import Golden, plan_of_mask
from trainers.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderNetwork
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.embed import patches_of
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Output
from trainers.nn.positions import position_table
from trainers.objectives import over_tokens, squared_error
from trainers.published.autoencoders import naming, our_layout, our_name
from trainers.recipes.video_mae import recipe
from trainers.targets.patches import standardise_colours

GOLDEN = Golden.open("videomae")
WHOLE_CLIPS = Golden.open("fn_video_target")


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once on the golden clips and masks."""

    network: MaskedAutoencoderNetwork
    patches: Tensor
    plan: MaskPlan
    prediction: Tensor
    loss: Tensor


@pytest.fixture(scope="module")
def run() -> Run:
    made = GOLDEN.about["constructor"]
    clip = Clip(size=made["img_size"], patch=made["patch_size"], tubelet=made["tubelet_size"], frames=16)
    design = recipe().model
    assert isinstance(design, MaskedAutoencoder)
    architecture = MaskedAutoencoder(
        width=made["encoder_embed_dim"],
        depth=made["encoder_depth"],
        heads=made["encoder_num_heads"],
        decoder=GlobalDecoder(
            width=made["decoder_embed_dim"], depth=made["decoder_depth"], heads=made["decoder_num_heads"]
        ),
        class_token=design.class_token,
        biases=design.biases,
        bridge_bias=design.bridge_bias,
    )
    network = architecture.build((clip,), outputs={"patches": Output(dim=clip.patch_values)})
    naming(network).load(GOLDEN.under("weights/"), network)
    videos = GOLDEN.tensors["inputs/videos"]
    plan = plan_of_mask(GOLDEN.tensors["noise/mask"])
    patches = patches_of(clip, videos)
    prediction = network({"video": videos}, {"video": plan})["patches"]
    loss = over_tokens(squared_error(prediction, gather_tokens(standardise_colours(patches), plan.target)))
    loss.backward()
    return Run(network, patches, plan, prediction.detach(), loss.detach())


def in_unit_range(patches: Tensor) -> Tensor:
    """Pixels in [0, 1] of normalised patches, whose values run by pixel, then colour."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return (patches.unflatten(-1, (-1, 3)) * std + mean).flatten(-2)


def test_every_output_of_the_fixture_is_compared() -> None:
    compared = {"latent", "pred", "target_normalised", "target_unnormalised", "loss", "loss_unnormalised_target"}
    assert set(GOLDEN.under("outputs/")) == compared


def test_target_pixels_are_those_of_the_reference(run: Run) -> None:
    pixels = gather_tokens(in_unit_range(run.patches), run.plan.target)
    GOLDEN.assert_output(pixels, "outputs/target_unnormalised")
    GOLDEN.assert_output(gather_tokens(standardise_colours(run.patches), run.plan.target), "outputs/target_normalised")


def test_encoded_visible_tubelets_are_those_of_the_reference(run: Run) -> None:
    visible = gather_tokens(run.patches, run.plan.visible)
    GOLDEN.assert_output(run.network.encoder(visible, run.plan.visible).detach(), "outputs/latent")


def test_predictions_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_output(run.prediction, "outputs/pred")


def test_losses_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_loss(run.loss, "outputs/loss")
    pixels = gather_tokens(in_unit_range(run.patches), run.plan.target)
    GOLDEN.assert_loss(over_tokens(squared_error(run.prediction, pixels)), "outputs/loss_unnormalised_target")


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradients(run.network, our_name, our_layout)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradient_norms(run.network, our_name)


def test_masks_hide_as_many_tubes_as_the_reference(run: Run) -> None:
    context = MaskContext(draws=Draws.of(["a", "b"], epochs=[0, 0], seed=0), inputs={}, stored={}, lengths={})
    modality = run.network.modality
    plan = TubePatches(ratio=GOLDEN.about["call"]["mask_ratio"]).plan(context, modality=modality)
    assert plan.target.shape[1] == GOLDEN.about["call"]["masked_per_sample"]
    hidden = torch.zeros(2, modality.num_tokens).scatter(1, plan.target, 1.0).unflatten(1, modality.grid)
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))


def test_target_of_whole_clips_is_that_of_the_reference_and_zero_where_nothing_changes() -> None:
    clip = Clip(size=32, patch=16, frames=4)
    target = standardise_colours(patches_of(clip, WHOLE_CLIPS.tensors["inputs/videos"]))
    expected = WHOLE_CLIPS.tensors["corrected/target_all"]
    torch.testing.assert_close(target, expected, atol=WHOLE_CLIPS.tolerance["target"], rtol=0)
    assert not target[0, 0].any()
    shipped = WHOLE_CLIPS.tensors["outputs/target_all"]
    assert shipped[0, 0].abs().max() > 1e-2  # the constant tubelet, whose rounding error the reference magnifies
    torch.testing.assert_close(target[:, 1:], shipped[:, 1:], atol=WHOLE_CLIPS.tolerance["target"], rtol=0)


def test_position_table_is_that_of_the_reference() -> None:
    expected = Golden.open("fn_posembed").tensors["outputs/videomae_1d"][0]
    found = position_table(Clip(size=64, patch=16, frames=8), width=24)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
