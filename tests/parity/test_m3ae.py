"""Parity with the official M3AE: every tensor of a run of young-geng/m3ae_public at commit a5eb14f.

The reference has one mask for the batch, and counts padding among the words it keeps; plans made by hand show ours the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Text
from tests.batches import make_batch
from tests.parity.golden import Golden
from trainers.models.multimodal_autoencoder import MultimodalAutoencoderNetwork
from trainers.nn.gather import gather_tokens
from trainers.nn.joint_encoder import Encoding
from trainers.nn.positions import position_table, sincos_2d
from trainers.published import m3ae
from trainers.recipe import Recipe
from trainers.recipes.m3ae import recipe
from trainers.registry import resolve_recipe

GOLDEN = Golden.open("m3ae")
CONFIG = GOLDEN.about["constructor"]["config"]
IS_PADDING = GOLDEN.tensors["inputs/text_padding_mask"].bool()
COUNTED = GOLDEN.tensors["outputs/text_targets_per_sample"] > 0
INPUTS = {
    "image": GOLDEN.tensors["inputs/image"].permute(0, 3, 1, 2),
    "text": GOLDEN.tensors["inputs/text"],
}


@dataclass(frozen=True, kw_only=True)
class HundredIds:
    """A tokenizer of as many ids as the fixture has, of which nothing is asked but how many they are."""

    vocabulary: int = GOLDEN.about["constructor"]["text_vocab_size"]
    padding_id: int = 0

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError(text)

    def names(self, ids: Iterable[int]) -> list[str]:
        raise NotImplementedError(ids)


SMALL = (
    "modalities.image.size=16",
    "modalities.image.patch=4",
    f"model.width={CONFIG['emb_dim']}",
    f"model.depth={CONFIG['depth']}",
    f"model.heads={CONFIG['num_heads']}",
    f"model.decoder.width={CONFIG['dec_emb_dim']}",
    f"model.decoder.depth={CONFIG['dec_depth']}",
    f"model.decoder.heads={CONFIG['dec_num_heads']}",
)


def small_recipe() -> Recipe:
    small = resolve_recipe("m3ae", size="base", settings=SMALL)
    return replace(small, modalities=(small.modalities[0], Text(length=8, tokenizer=HundredIds())))


def built() -> MultimodalAutoencoderNetwork:
    network = small_recipe().network(seed=0)
    assert isinstance(network, MultimodalAutoencoderNetwork)
    m3ae.naming(network).load(GOLDEN.under("weights/"), network)
    return network


def plans_of(image_noise: Tensor, text_noise: Tensor) -> dict[str, MaskPlan]:
    """The plans of noise [batch, tokens]: a quarter is kept, padding is neither seen nor asked for."""
    image, text = image_noise.argsort(dim=1), text_noise.argsort(dim=1)
    padding = IS_PADDING.gather(1, text)
    return {
        "image": MaskPlan(visible=image[:, :4], target=image[:, 4:]),
        "text": MaskPlan(
            visible=text[:, :2], target=text[:, 2:], visible_padding=padding[:, :2], target_padding=padding[:, 2:]
        ),
    }


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once."""

    network: MultimodalAutoencoderNetwork
    plans: dict[str, MaskPlan]
    encoding: Encoding
    predictions: dict[str, Tensor]
    terms: dict[str, Tensor]


def run_with(plans: dict[str, MaskPlan]) -> Run:
    network, small = built(), small_recipe()
    encoding = network.encoder.together(network.encoder.alone(INPUTS, plans))
    predictions = network(INPUTS, plans)
    _, terms = small.loss(predictions, small.goals({})(make_batch(("a", "b", "c"), INPUTS, plans=plans)))
    # The reference counts samples without a word to guess as 0.
    shipped = terms["pixels"] + 0.5 * terms["text"] * COUNTED.float().mean()
    shipped.backward()
    return Run(network, plans, encoding, predictions, {**terms, "shipped": shipped})


@pytest.fixture(scope="module")
def run() -> Run:
    return run_with(plans_of(*(GOLDEN.tensors[f"noise/{name}"].expand(3, -1) for name in ("image", "text"))))


@pytest.fixture(scope="module")
def by_sample() -> Run:
    return run_with(plans_of(*(GOLDEN.tensors[f"noise/{name}_per_sample"] for name in ("image", "text"))))


@pytest.mark.parametrize("prefix", ["outputs", "corrected/per_sample_masks"])
def test_encoded_tokens_are_those_of_the_reference(prefix: str, run: Run, by_sample: Run) -> None:
    encoding = (run if prefix == "outputs" else by_sample).encoding
    GOLDEN.assert_output(encoding.prefix.detach(), f"{prefix}/latent_cls")
    GOLDEN.assert_output(encoding.tokens["image"].detach(), f"{prefix}/latent_image")
    GOLDEN.assert_output(encoding.tokens["text"].detach(), f"{prefix}/latent_text")


def test_predictions_are_those_of_the_reference(run: Run) -> None:
    atol = GOLDEN.tolerance["float_outputs_atol"]
    pixels = gather_tokens(GOLDEN.tensors["outputs/pred_image"], run.plans["image"].target)
    torch.testing.assert_close(run.predictions["pixels"].detach(), pixels, atol=atol, rtol=0)
    logits = gather_tokens(GOLDEN.tensors["outputs/logits_text"], run.plans["text"].target)
    torch.testing.assert_close(run.predictions["text"].detach(), logits, atol=atol, rtol=0)


def test_losses_are_those_of_the_reference_but_for_samples_without_words_to_guess(run: Run, by_sample: Run) -> None:
    assert not COUNTED.all()
    for found, prefix in ((run, "outputs"), (by_sample, "corrected/per_sample_masks")):
        terms = {name: term.detach() for name, term in found.terms.items()}
        GOLDEN.assert_loss(terms["pixels"], f"{prefix}/loss_image")
        GOLDEN.assert_loss(terms["text"] * COUNTED.float().mean(), f"{prefix}/loss_text")
        corrected = "corrected" if prefix == "outputs" else prefix
        GOLDEN.assert_loss(terms["text"], f"{corrected}/loss_text_over_samples_with_targets")
        GOLDEN.assert_loss(terms["shipped"], f"{prefix}/loss")


def test_as_many_words_are_guessed_right_as_in_the_reference(run: Run) -> None:
    plan = run.plans["text"]
    assert plan.target_padding is not None
    counted = ~plan.target_padding
    is_right = run.predictions["text"].argmax(dim=-1) == INPUTS["text"].gather(1, plan.target)
    share = (is_right & counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
    GOLDEN.assert_loss(share.mean(), "outputs/accuracy_text")
    assert torch.equal(counted.sum(dim=1).float(), GOLDEN.tensors["outputs/text_targets_per_sample"].float())


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradients(run.network, m3ae.our_name, m3ae.our_layout)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradient_norms(run.network, m3ae.our_name)


def test_position_tables_are_those_of_the_reference() -> None:
    tables = Golden.open("fn_posembed").tensors
    torch.testing.assert_close(sincos_2d((4, 4), width=32), tables["outputs/m3ae_2d"][0], atol=1e-6, rtol=0)
    text = position_table(Text(length=8, tokenizer=HundredIds()), width=32)
    torch.testing.assert_close(text, tables["outputs/m3ae_1d"][0], atol=1e-6, rtol=0)


def test_the_published_weights_of_the_losses_are_used() -> None:
    assert {term.name: term.weight for term in recipe().objective} == {"pixels": 1.0, "text": 0.5}
