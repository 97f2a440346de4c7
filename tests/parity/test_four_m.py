"""Parity with the official 4M: every tensor of a run of apple/ml-4m at commit cda590f.

The reference has masks over all places, ours plans; its rows of texts hold the input, then the target behind it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.budget import TokenBudgets
from pipelines.masking.plan import MaskPlan
from pipelines.masking.ragged import chosen_of, plan_of
from pipelines.modalities import Image, Modality, Text, Tokens
from tests.batches import make_batch
from tests.parity.golden import Golden
from trainers.models.token_transformer import TokenTransformer, TokenTransformerNetwork
from trainers.nn.blocks import BlockStyle
from trainers.nn.token_row import TokenRow
from trainers.objectives import cross_entropy, cross_entropy_after_first
from trainers.published import four_m
from trainers.published.naming import WeightsError
from trainers.recipe import Recipe
from trainers.recipes.four_m import recipe
from trainers.registry import resolve_recipe
from trainers.targets.texts import TextIds
from trainers.targets.tokens import ShownTokens
from trainers.terms import Term

GOLDEN = Golden.open("fourm")
MADE = GOLDEN.about["constructor"]["FourM"]
EMBEDDED = GOLDEN.about["constructor"]["encoder_embeddings"]
OFFICIAL = {
    "image": "rgb@32",
    "tok_depth": "tok_depth@32",
    "tok_semseg": "tok_semseg@32",
    "text": "caption",
    "det": "det",
}
TARGETS = tuple(OFFICIAL)[1:]
SMALL = (
    f"model.width={MADE['dim']}",
    f"model.depth={MADE['encoder_depth']}",
    f"model.decoder_depth={MADE['decoder_depth']}",
    f"model.heads={MADE['num_heads']}",
)


@dataclass(frozen=True, kw_only=True)
class Ids:
    """A tokenizer of which nothing is asked but how many ids there are."""

    vocabulary: int
    padding_id: int = 0

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError(text)

    def names(self, ids: Iterable[int]) -> list[str]:
        raise NotImplementedError(ids)


def modality_called(name: str) -> Modality:
    made = EMBEDDED[OFFICIAL[name]]
    match made["cls"]:
        case "ImageEncoderEmbedding":
            return Image(size=32, patch=8)
        case "ImageTokenEncoderEmbedding":
            return Tokens(stored=name, grid=(4, 4), vocabulary=made["vocab_size"])
        case _:
            return Text(field=name, length=made["max_length"], tokenizer=Ids(vocabulary=made["vocab_size"]))


def small_recipe() -> Recipe:
    """The recipe with the five modalities of the fixture."""
    small = resolve_recipe("four_m", size="base", settings=SMALL)
    modalities = {name: modality_called(name) for name in OFFICIAL}
    texts = [name for name in TARGETS if isinstance(modalities[name], Text)]
    return replace(
        small,
        modalities=tuple(modalities.values()),
        targets=tuple(
            TextIds(name=name, modality=name) if name in texts else ShownTokens(name=name, modality=name)
            for name in TARGETS
        ),
        objective=tuple(
            Term(
                target=name, loss=cross_entropy_after_first if name in texts else cross_entropy, weight=1 / len(TARGETS)
            )
            for name in TARGETS
        ),
    )


def golden_input(name: str) -> Tensor:
    tensor = GOLDEN.tensors[f"inputs/{OFFICIAL[name]}/tensor"]
    modality = modality_called(name)
    if isinstance(modality, Text):
        return tensor[:, : modality.length]
    return tensor.flatten(1) if isinstance(modality, Tokens) else tensor


def golden_plan(name: str) -> MaskPlan:
    """The plan of the masks of the reference; of texts, that of the ids they choose."""
    halves = []
    for half in ("input", "target"):
        chosen = (GOLDEN.tensors[f"inputs/{OFFICIAL[name]}/{half}_mask"] == 0).numpy()
        ids = GOLDEN.tensors[f"inputs/{OFFICIAL[name]}/tensor"].numpy() if name in ("text", "det") else None
        halves.append(chosen_of(chosen, ids))
    return plan_of(*halves)


@dataclass(frozen=True)
class Run:
    """Our network with the golden weights, run forward and backward once on the golden samples and masks."""

    recipe: Recipe
    network: TokenTransformerNetwork
    plans: dict[str, MaskPlan]
    seen: TokenRow
    encoded: Tensor
    context: Tensor
    asked: TokenRow
    decoded: Tensor
    predictions: dict[str, Tensor]
    total: Tensor
    terms: dict[str, Tensor]


@pytest.fixture(scope="module")
def run() -> Run:
    small = small_recipe()
    network = small.network(seed=0)
    assert isinstance(network, TokenTransformerNetwork)
    four_m.naming(network).load(GOLDEN.under("weights/"), network)
    inputs = {name: golden_input(name) for name in OFFICIAL}
    plans = {name: golden_plan(name) for name in OFFICIAL}
    predictions = network(inputs, plans)
    total, terms = small.loss(predictions, small.goals({})(make_batch(("a", "b", "c"), inputs, plans=plans)))
    total.backward()
    with torch.no_grad():
        seen = network.encoder.row(inputs, plans)
        encoded = network.encoder(seen)
        context = network.decoder.context(seen, encoded)
        asked = network.decoder.row(inputs, plans, network.kind_tokens)
        decoded = network.decoder(asked, context, seen.padding)
    detached = {name: values.detach() for name, values in predictions.items()}
    return Run(
        small,
        network,
        plans,
        seen,
        encoded,
        context,
        asked,
        decoded,
        detached,
        total.detach(),
        {name: value.detach() for name, value in terms.items()},
    )


def assert_real_slots(found: Tensor, name: str, row: TokenRow) -> None:
    """Compare what stands in the row of a reference, which may be longer; its padding means nothing."""
    real = ~row.padding
    expected = GOLDEN.tensors[name][:, : real.shape[1]]
    torch.testing.assert_close(found[real], expected[real], atol=GOLDEN.tolerance["float_outputs_atol"], rtol=0)


def test_rows_hold_the_tokens_of_the_reference(run: Run) -> None:
    for row, side in ((run.seen, "encoder"), (run.asked, "decoder")):
        length = row.padding.shape[1]
        mask = GOLDEN.tensors[f"outputs/{side}_mask"]
        assert torch.equal(row.padding, mask[:, :length].bool())
        assert mask[:, length:].all()
        names = list(OFFICIAL) if side == "encoder" else list(TARGETS)
        ids = torch.tensor([MADE["modality_info"][OFFICIAL[name]]["id"] for name in names])
        found = ids[row.owners].masked_fill(row.padding, -1)
        assert torch.equal(found, GOLDEN.tensors[f"outputs/{side}_mod_ids"][:, :length])
        assert_real_slots(row.tokens, f"outputs/{side}_tokens", row)
        assert_real_slots(row.places, f"outputs/{side}_emb", row)


def test_encoded_tokens_and_what_the_decoder_asks_are_those_of_the_reference(run: Run) -> None:
    assert_real_slots(run.encoded, "outputs/encoder_output", run.seen)
    assert_real_slots(run.context, "outputs/context", run.seen)


def test_questions_see_what_they_see_in_the_reference(run: Run) -> None:
    length = run.asked.padding.shape[1]
    expected = GOLDEN.tensors["outputs/decoder_self_attention_mask"][:, :length, :length].bool()
    asking = ~run.asked.padding
    assert torch.equal(run.network.decoder.blocked(run.asked)[asking], expected[asking])


def test_decoded_tokens_are_those_of_the_reference(run: Run) -> None:
    assert_real_slots(run.decoded, "outputs/decoder_output", run.asked)


def counted(run: Run, name: str) -> Tensor:
    """The places whose ids are predicted: of a text, all but the first."""
    plan = run.plans[name]
    real = torch.ones_like(plan.target, dtype=torch.bool) if plan.target_padding is None else ~plan.target_padding
    if plan.target_ids is not None:
        real = real & (torch.arange(real.shape[1]) > 0)
    return real


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "det"])
def test_scores_and_wanted_ids_are_those_of_the_reference(run: Run, name: str) -> None:
    GOLDEN.assert_output(run.predictions[name][counted(run, name)], f"outputs/logits/{OFFICIAL[name]}")
    plan = run.plans[name]
    ids = golden_input(name).gather(1, plan.target) if plan.target_ids is None else plan.target_ids
    assert torch.equal(ids[counted(run, name)], GOLDEN.tensors[f"outputs/targets/{OFFICIAL[name]}"])


@pytest.mark.parametrize("name", TARGETS)
def test_losses_are_those_of_the_reference(run: Run, name: str) -> None:
    GOLDEN.assert_loss(run.terms[name], f"outputs/loss/{OFFICIAL[name]}")


def test_the_mean_over_all_modalities_counts_one_without_targets_as_zero_and_that_over_the_others_does_not(
    run: Run,
) -> None:
    assert not counted(run, "det").any()
    GOLDEN.assert_loss(run.total, "outputs/loss")
    present = [run.terms[name] for name in TARGETS if counted(run, name).any()]
    assert len(present) == len(TARGETS) - 1
    GOLDEN.assert_loss(torch.stack(present).mean(), "corrected/loss_mod_over_present_modalities")


def test_the_mean_over_all_tokens_is_that_of_the_reference_with_and_without_the_weight_of_vocabularies(
    run: Run,
) -> None:
    losses = torch.stack([run.terms[name] for name in TARGETS])
    tokens = torch.tensor([counted(run, name).sum() for name in TARGETS])
    vocabularies = torch.tensor([run.recipe.outputs()[name].dim for name in TARGETS])
    for weights, name in ((tokens * vocabularies, "outputs/loss_token"), (tokens, "corrected/loss_token_unweighted")):
        GOLDEN.assert_loss((losses * weights).sum() / weights.sum(), name)


def test_gradients_are_those_of_the_reference(run: Run) -> None:
    naming = four_m.naming(run.network)
    GOLDEN.assert_gradients(run.network, naming.our_name, naming.our_layout)


def test_norm_of_every_gradient_is_that_of_the_reference(run: Run) -> None:
    GOLDEN.assert_gradient_norms(run.network, four_m.naming(run.network).our_name)


def test_weights_of_modalities_that_a_network_lacks_are_passed_over(run: Run) -> None:
    fewer = replace(
        run.recipe,
        modalities=run.recipe.modalities[:4],
        targets=run.recipe.targets[:3],
        objective=run.recipe.objective[:3],
    )
    network = fewer.network(seed=0)
    assert isinstance(network, TokenTransformerNetwork)
    four_m.naming(network).load(GOLDEN.under("weights/"), network)
    weights = run.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "name",
    [
        "encoder.0.norm1.bias",
        "decoder_norm.bias",
        "encoder_embeddings.rgb@32.pos_emb",
        "decoder_embeddings.det.pos_emb",
    ],
)
def test_biases_of_norms_and_positions_that_were_learned_are_refused(run: Run, name: str) -> None:
    state = GOLDEN.under("weights/")
    state[name] = state[name] + 0.01
    with pytest.raises(WeightsError, match=name):
        four_m.naming(run.network).load(state, run.recipe.network(seed=0))


def test_the_published_size_has_the_published_parts() -> None:
    design, masking = recipe("base").model, recipe("base").masking
    assert isinstance(design, TokenTransformer)
    assert (design.width, design.depth, design.decoder_depth, design.heads) == (768, 12, 12, 12)
    assert design.style == BlockStyle(biases="nowhere", perceptron="gated")
    assert isinstance(masking, TokenBudgets)
    assert (masking.inputs, masking.targets) == (128, 128)
