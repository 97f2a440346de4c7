"""Parity with the official masked autoencoder: every tensor of a run of facebookresearch/mae at commit efb2a80.

`tests/golden/mae.json` says how it was made. A separate implementation agreed within 8e-7 on outputs and 1.4e-8 on
gradients, while the smallest wrong convention (tanh instead of exact GELU) moves outputs by 4e-4; the tolerances of the
fixture, 1e-5 on outputs, 5e-6 on losses, 2e-7 on gradients and 1e-5 relative on their norms, lie between.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.masking.random import random_plan
from pipelines.modalities import Image
from trainers.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderNetwork
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.embed import every_token, image_patches
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Output
from trainers.nn.positions import sincos_2d
from trainers.objectives import over_tokens, squared_error
from trainers.published.autoencoders import naming, our_name
from trainers.targets.patches import standardise_patches

GOLDEN = Path(__file__).parents[1] / "golden"
TENSORS = load_file(GOLDEN / "mae.safetensors")
FIXTURE = json.loads((GOLDEN / "mae.json").read_text())
TOLERANCE = FIXTURE["tolerance"]["suggested_on_cpu_fp32"]
OUTPUTS_CHECKED = {
    "tokens_with_pos",
    "latent",
    "pred",
    "mask",
    "ids_restore",
    "target_patches",
    "target_normalised",
    "loss",
    "loss_raw_pixels",
}


def under(prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in TENSORS.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once on the golden pictures and noise."""

    network: MaskedAutoencoderNetwork
    patches: Tensor
    plan: MaskPlan
    full_prediction: Tensor
    loss: Tensor
    raw_loss: Tensor


@pytest.fixture(scope="module")
def run() -> Run:
    made = FIXTURE["constructor"]
    image = Image(size=made["img_size"], patch=made["patch_size"])
    architecture = MaskedAutoencoder(
        width=made["embed_dim"],
        depth=made["depth"],
        heads=made["num_heads"],
        decoder=GlobalDecoder(
            width=made["decoder_embed_dim"], depth=made["decoder_depth"], heads=made["decoder_num_heads"]
        ),
    )
    network = architecture.build((image,), outputs={"patches": Output(dim=image.patch_values)})
    naming(network).load(under("weights/"), network)
    images = TENSORS["inputs/images"]
    patches = image_patches(images, patch=image.patch)
    plan = random_plan(TENSORS["noise/noise"], FIXTURE["call"]["kept"])
    everything = every_token(len(images), length=image.num_tokens, device=images.device)
    full_plan = MaskPlan(visible=plan.visible, target=everything)
    full_prediction = network({"image": images}, {"image": full_plan})["patches"].detach()
    prediction = network({"image": images}, {"image": plan})["patches"]
    raw_loss = over_tokens(squared_error(prediction, gather_tokens(patches, plan.target))).detach()
    loss = over_tokens(squared_error(prediction, gather_tokens(standardise_patches(patches), plan.target)))
    loss.backward()
    return Run(network, patches, plan, full_prediction, loss.detach(), raw_loss)


def assert_close(found: Tensor, name: str) -> None:
    torch.testing.assert_close(found, TENSORS[name], atol=TOLERANCE["float_outputs_atol"], rtol=0)


def test_every_output_of_the_fixture_is_compared() -> None:
    assert set(under("outputs/")) == OUTPUTS_CHECKED


def test_target_pixels_are_those_of_the_reference(run: Run) -> None:
    assert_close(run.patches, "outputs/target_patches")
    assert_close(standardise_patches(run.patches), "outputs/target_normalised")


def test_plan_hides_what_the_reference_hides(run: Run) -> None:
    mask = torch.ones_like(TENSORS["outputs/mask"]).scatter(1, run.plan.visible, 0.0)
    assert torch.equal(mask, TENSORS["outputs/mask"])
    places = torch.zeros_like(mask).scatter(1, run.plan.target, 1.0)
    assert torch.equal(places, TENSORS["outputs/mask"])
    kept_first = TENSORS["outputs/ids_restore"].argsort(dim=1)[:, : FIXTURE["call"]["kept"]]
    assert torch.equal(run.plan.visible, kept_first)


def test_embedded_tokens_are_those_of_the_reference(run: Run) -> None:
    everything = every_token(len(run.patches), length=run.patches.shape[1], device=run.patches.device)
    assert_close(run.network.encoder.tokens(run.patches, everything).detach(), "outputs/tokens_with_pos")


def test_encoded_visible_tokens_are_those_of_the_reference(run: Run) -> None:
    visible = gather_tokens(run.patches, run.plan.visible)
    assert_close(run.network.encoder(visible, run.plan.visible).detach(), "outputs/latent")


def test_predictions_are_those_of_the_reference(run: Run) -> None:
    assert_close(run.full_prediction, "outputs/pred")


def test_losses_are_those_of_the_reference(run: Run) -> None:
    for found, name in ((run.loss, "outputs/loss"), (run.raw_loss, "outputs/loss_raw_pixels")):
        torch.testing.assert_close(found, TENSORS[name], atol=TOLERANCE["loss_atol"], rtol=0)


@pytest.mark.parametrize("official", sorted(under("grads/")))
def test_gradients_are_those_of_the_reference(run: Run, official: str) -> None:
    expected = TENSORS[f"grads/{official}"]
    if official == "patch_embed.proj.weight":
        expected = expected.permute(0, 2, 3, 1).flatten(1)
    found = run.network.get_parameter(our_name(official) or official).grad
    torch.testing.assert_close(found, expected, atol=TOLERANCE["grads_atol"], rtol=0)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    expected = under("gradnorm/")
    norms = {name: parameter.grad.norm() for name, parameter in run.network.named_parameters()}
    assert {our_name(official) for official in expected} == set(norms)
    for official, norm in expected.items():
        found = norms[our_name(official)]
        torch.testing.assert_close(found, norm.reshape(()), rtol=TOLERANCE["gradnorm_rtol"], atol=0, msg=official)


def test_position_tables_are_those_of_the_reference() -> None:
    tables = load_file(GOLDEN / "fn_posembed.safetensors")
    found = sincos_2d((4, 4), width=32)
    torch.testing.assert_close(found, tables["outputs/mae_2d"], atol=1e-6, rtol=0)
    torch.testing.assert_close(found, tables["outputs/mae_2d_with_cls"][1:], atol=1e-6, rtol=0)
    assert not tables["outputs/mae_2d_with_cls"][0].any()


def test_position_table_of_an_oblong_grid_runs_row_by_row() -> None:
    tables = load_file(GOLDEN / "fn_posembed.safetensors")
    found = sincos_2d((16, 8), width=24)
    torch.testing.assert_close(found, tables["outputs/audiomae_2d_time_by_mel"][1:], atol=1e-6, rtol=0)
    # The other oblong grid of the fixture is (8 rows, 4 columns) of time by mel, with time along the columns.
    oblong = sincos_2d((8, 4), width=24)
    torch.testing.assert_close(oblong, tables["outputs/cavmae_2d_audio"], atol=1e-6, rtol=0)
