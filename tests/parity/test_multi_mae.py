"""Parity with the official MultiMAE: every tensor of a run of EPFL-VILAB/MultiMAE at commit 66910f5.

Its depth is standardised before the network, ours within; its predictions are pictures, channel first, ours patches.
"""

from dataclasses import dataclass

import pytest
import torch
from einops import rearrange
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.masking.ragged import chosen_of, plan_of
from pipelines.transforms.patches import patchify
from tests.batches import make_batch
from tests.parity.golden import Golden
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder, MultimodalAutoencoderNetwork
from trainers.nn.embed import standardise_raster
from trainers.nn.gather import gather_tokens
from trainers.nn.joint_decoders import TargetDecoders
from trainers.nn.positions import sincos_2d
from trainers.published import multi_mae
from trainers.recipe import Recipe
from trainers.recipes.multi_mae import recipe
from trainers.registry import resolve_recipe

GOLDEN = Golden.open("multimae")
MADE = GOLDEN.about["constructor"]["MultiMAE"]
OFFICIAL = {"image": "rgb", "depth": "depth", "segmentation": "semseg"}
TARGETS = {"pixels": "rgb", "patches": "norm_rgb", "distances": "depth", "classes": "semseg"}
SMALL = (
    *(f"modalities.{name}.{side}" for name in OFFICIAL for side in ("size=32", "patch=8")),
    f"model.width={MADE['dim_tokens']}",
    f"model.depth={MADE['depth']}",
    f"model.heads={MADE['num_heads']}",
    "model.decoder.width=16",
    "model.decoder.depth=2",
    "model.decoder.heads=4",
)


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once on the golden samples and masks."""

    recipe: Recipe
    network: MultimodalAutoencoderNetwork
    inputs: dict[str, Tensor]
    plans: dict[str, MaskPlan]
    predictions: dict[str, Tensor]
    total: Tensor
    terms: dict[str, Tensor]


def plan_of_mask(mask: Tensor) -> MaskPlan:
    hidden = mask.numpy().astype(bool)
    return plan_of(chosen_of(~hidden), chosen_of(hidden))


@pytest.fixture(scope="module")
def run() -> Run:
    small = resolve_recipe("multi_mae", size="base", settings=SMALL)
    network = small.network(seed=0)
    assert isinstance(network, MultimodalAutoencoderNetwork)
    multi_mae.naming(network).load(GOLDEN.under("weights/"), network)
    inputs = {
        "image": GOLDEN.tensors["inputs/rgb"],
        "depth": GOLDEN.tensors["inputs/depth_raw"],
        "segmentation": GOLDEN.tensors["inputs/semseg"][:, None],
    }
    plans = {name: plan_of_mask(GOLDEN.tensors[f"outputs/mask_{task}"]) for name, task in OFFICIAL.items()}
    predictions = network(inputs, plans)
    batch = make_batch(("a", "b"), inputs, plans=plans)
    total, terms = small.loss(predictions, small.goals({})(batch))
    total.backward()
    predictions = {name: values.detach() for name, values in predictions.items()}
    return Run(small, network, inputs, plans, predictions, total.detach(), {k: v.detach() for k, v in terms.items()})


def test_depth_is_standardised_as_in_the_reference() -> None:
    found = standardise_raster(GOLDEN.tensors["inputs/depth_raw"])
    torch.testing.assert_close(found, GOLDEN.tensors["inputs/depth"], atol=2e-6, rtol=0)


def encoded_rows(run: Run, tokens: dict[str, Tensor], prefix: Tensor) -> Tensor:
    """Our tokens in the order of the reference: the kept ones as it drew them, then the global token."""
    row = []
    for sample, ids in enumerate(GOLDEN.tensors["outputs/ids_keep"].tolist()):
        for place in ids:
            name = list(OFFICIAL)[place // 16]
            visible = run.plans[name].visible[sample].tolist()
            real = int((GOLDEN.tensors[f"outputs/mask_{OFFICIAL[name]}"][sample] == 0).sum())
            row.append(tokens[name][sample, visible[:real].index(place % 16)])
    kept = torch.stack(row).reshape(2, -1, prefix.shape[-1])
    return torch.cat([kept, prefix], dim=1)


def test_tokens_before_and_after_the_encoder_are_those_of_the_reference(run: Run) -> None:
    with torch.no_grad():
        alone = run.network.encoder.alone(run.inputs, run.plans)
        together = run.network.encoder.together(alone)
    GOLDEN.assert_output(encoded_rows(run, dict(alone.tokens), alone.prefix), "outputs/encoder_input")
    GOLDEN.assert_output(encoded_rows(run, dict(together.tokens), together.prefix), "outputs/encoder_tokens")


@pytest.mark.parametrize("target", TARGETS)
def test_predictions_are_those_of_the_reference(run: Run, target: str) -> None:
    of = next(each.modality for each in run.recipe.targets if each.name == target)
    plan, side = run.plans[of], run.recipe.modality(of).patch
    expected = GOLDEN.tensors[f"outputs/pred_{TARGETS[target]}"]
    patches = patchify(expected, side // 4 if target == "classes" else side)
    wanted = gather_tokens(patches, plan.target)
    found = run.predictions[target]
    if plan.target_padding is not None:
        wanted, found = wanted[~plan.target_padding], found[~plan.target_padding]
    torch.testing.assert_close(found, wanted, atol=GOLDEN.tolerance["float_outputs_atol"], rtol=0)


@pytest.mark.parametrize("target", TARGETS)
def test_losses_are_those_of_the_reference(run: Run, target: str) -> None:
    GOLDEN.assert_loss(run.terms[target], f"outputs/loss_{TARGETS[target]}")


def test_the_sum_of_the_losses_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_loss(run.total, "outputs/loss")


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    naming = multi_mae.naming(run.network)
    GOLDEN.assert_gradients(run.network, naming.our_name, naming.our_layout)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradient_norms(run.network, multi_mae.our_name)


def test_position_tables_are_those_of_the_reference_and_in_order_on_oblong_grids() -> None:
    tables = Golden.open("fn_posembed").tensors
    for grid, width, name in (
        ((4, 4), 32, "outputs/multimae_2d_square"),
        ((4, 6), 16, "corrected/multimae_2d_rectangular"),
    ):
        expected = rearrange(tables[name], "1 width row column -> (row column) width")
        torch.testing.assert_close(sincos_2d(grid, width=width, first="row"), expected, atol=1e-6, rtol=0)
    shipped = rearrange(
        tables["outputs/multimae_2d_rectangular_as_shipped"], "1 width row column -> (row column) width"
    )
    assert (shipped - sincos_2d((4, 6), width=16, first="row")).abs().max() > 0.5  # made by column, read by row


def test_the_published_size_has_the_published_parts() -> None:
    design = recipe("base").model
    assert isinstance(design, MultimodalAutoencoder)
    assert isinstance(design.decoder, TargetDecoders)
    assert (design.decoder.width, design.decoder.depth, design.decoder.heads) == (256, 2, 8)
