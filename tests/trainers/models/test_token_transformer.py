"""What the transformer of tokens promises beside equality with the published one: who sees whom, and what padding is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Features, Image, Text, Tokens
from pipelines.tokenizers.byte import ByteTokenizer
from shards.errors import SettingsError
from trainers.models.token_transformer import TokenTransformer, TokenTransformerNetwork
from trainers.nn.blocks import BlockStyle
from trainers.nn.network import Output

WORDS = ByteTokenizer(sentinels=8)
S0, S1, S2 = WORDS.sentinel_ids[:3]
MODALITIES = (
    Image(size=16, patch=4),
    Tokens(stored="tokens", grid=(4, 4), vocabulary=12),
    Text(length=8, tokenizer=WORDS),
)
OUTPUTS = {
    "tokens": Output(dim=12, modality="tokens"),
    "text": Output(dim=WORDS.vocabulary, modality="text"),
}
DESIGN = TokenTransformer(
    width=24, depth=2, heads=3, decoder_depth=2, style=BlockStyle(biases="nowhere", perceptron="gated")
)


@pytest.fixture
def network() -> TokenTransformerNetwork:
    torch.manual_seed(0)
    return DESIGN.build(MODALITIES, outputs=OUTPUTS).eval()


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(2, 3, 16, 16, generator=generator),
        "tokens": torch.randint(12, (2, 16), generator=generator),
        "text": torch.randint(4, 260, (2, 8), generator=generator),
    }


@pytest.fixture
def plans() -> dict[str, MaskPlan]:
    """Both samples see four patches, three ids and a text of two words and two spans; these and five ids are asked for."""
    return {
        "image": MaskPlan(visible=torch.tensor([[3, 1, 8, 15]] * 2), target=torch.zeros(2, 0, dtype=torch.int64)),
        "tokens": MaskPlan(visible=torch.tensor([[0, 5, 9]] * 2), target=torch.tensor([[2, 3, 7, 11, 14]] * 2)),
        "text": MaskPlan(
            visible=torch.tensor([[0, 1, 4, 5]] * 2),
            target=torch.tensor([[1, 1, 2, 5, 5, 5]] * 2),
            visible_ids=torch.tensor([[70, S0, 80, S1]] * 2),
            target_ids=torch.tensor([[S0, 71, 72, S1, 81, S2]] * 2),
        ),
    }


def differences(first: Tensor, second: Tensor) -> list[bool]:
    """Which of the places differ in any sample."""
    return [not torch.allclose(a, b, atol=1e-6) for a, b in zip(first.unbind(1), second.unbind(1), strict=True)]


def test_a_word_is_predicted_from_those_before_it_alone(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    whole = network(inputs, plans)
    written = plans["text"].target_ids
    assert written is not None
    changed = written.clone()
    changed[:, 3] = 99
    other = network(inputs, {**plans, "text": replace(plans["text"], target_ids=changed)})
    assert differences(whole["text"], other["text"]) == [False, False, False, False, True, True]
    assert torch.equal(whole["tokens"], other["tokens"])


def test_the_first_word_is_given(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    chances = network(inputs, plans)["text"].softmax(dim=-1)
    assert (chances[:, 0, S0] > 0.999).all()
    assert (chances[:, 1:].amax(dim=-1) < 0.999).all()


def test_ids_of_a_grid_are_not_read_where_they_are_predicted_and_their_questions_see_each_other(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    whole = network(inputs, plans)["tokens"]
    told = inputs["tokens"].clone()
    told[:, plans["tokens"].target[0]] = 0
    assert torch.equal(whole, network({**inputs, "tokens": told}, plans)["tokens"])
    fewer = replace(plans["tokens"], target=plans["tokens"].target[:, :4])
    assert all(differences(whole[:, :4], network(inputs, {**plans, "tokens": fewer})["tokens"]))


def test_everything_that_is_visible_matters_to_everything_that_is_predicted(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    whole = network(inputs, plans)
    read = plans["text"].visible_ids
    assert read is not None
    changes = (
        ({**inputs, "image": inputs["image"] * 2}, plans),
        ({**inputs, "tokens": (inputs["tokens"] + 1) % 12}, plans),
        (inputs, {**plans, "text": replace(plans["text"], visible_ids=read + torch.tensor([1, 0, 0, 0]))}),
    )
    for changed_inputs, changed_plans in changes:
        other = network(changed_inputs, changed_plans)
        assert all(differences(whole["tokens"], other["tokens"]))
        assert differences(whole["text"], other["text"]) == [False] + [True] * 5


def padded(values: Tensor, fill: int) -> Tensor:
    return torch.cat([values, torch.full((2, 3), fill)], dim=1)


def test_padding_changes_nothing(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    whole = network(inputs, plans)
    longer = {}
    for name, plan in plans.items():
        visible, target = (torch.arange(part.shape[1] + 3) >= part.shape[1] for part in (plan.visible, plan.target))
        longer[name] = MaskPlan(
            visible=padded(plan.visible, 2),
            target=padded(plan.target, 2),
            visible_padding=visible.expand(2, -1),
            target_padding=target.expand(2, -1),
            visible_ids=None if plan.visible_ids is None else padded(plan.visible_ids, 5),
            target_ids=None if plan.target_ids is None else padded(plan.target_ids, 5),
        )
    found = network(inputs, longer)
    for name, values in whole.items():
        torch.testing.assert_close(found[name][:, : values.shape[1]], values)
        assert found[name].isfinite().all()


def test_a_text_is_counted_in_the_order_of_what_is_read_and_a_grid_has_places(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor], plans: dict[str, MaskPlan]
) -> None:
    whole = network(inputs, plans)["tokens"]
    later = replace(plans["text"], visible=plans["text"].visible + torch.tensor([0, 1, 2, 2]))
    assert torch.equal(whole, network(inputs, {**plans, "text": later})["tokens"])
    image = replace(plans["image"], visible=plans["image"].visible.flip(1))
    torch.testing.assert_close(whole, network(inputs, {**plans, "image": image})["tokens"])
    moved = {**inputs, "image": inputs["image"].flip(-1)}
    mirrored = replace(plans["image"], visible=torch.tensor([[0, 2, 11, 12]] * 2))
    assert not torch.allclose(whole, network(moved, {**plans, "image": mirrored})["tokens"], atol=1e-4)


def test_vectors_of_features_in_a_row_are_read_as_a_text_is_and_those_on_a_grid_as_a_picture_is() -> None:
    for grid, counts in (((6,), True), ((2, 3), False)):
        torch.manual_seed(0)
        row = DESIGN.build(
            (Features(stored="clip", grid=grid, dim=5, name="features"),),
            outputs={"ids": Output(dim=7, modality="features")},
        ).encoder.row
        inputs = {"features": torch.ones(1, 6, 5)}
        asked = torch.zeros(1, 0, dtype=torch.int64)
        places = [
            row(inputs, {"features": MaskPlan(visible=torch.tensor([visible]), target=asked)}).places
            for visible in ([0, 1], [3, 5])
        ]
        assert torch.equal(*places) is counts


def test_each_modality_alone_and_all_together_have_a_vector(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor]
) -> None:
    each, together = network.represent_each(inputs), network.represent(inputs)
    assert list(each) == ["image", "tokens", "text"]
    assert all(vector.shape == together.shape == (2, 24) for vector in each.values())
    torch.testing.assert_close(network.encode(inputs).mean(dim=1), together)
    assert network.encode(inputs).shape == (2, 16 + 16 + 8, 24)


def test_words_beyond_the_end_of_a_text_do_not_count(
    network: TokenTransformerNetwork, inputs: dict[str, Tensor]
) -> None:
    lengths = {"text": torch.tensor([8, 3])}
    told = {**inputs, "text": inputs["text"].clone()}
    told["text"][1, 3:] = 0
    torch.testing.assert_close(network.represent(inputs, lengths), network.represent(told, lengths))
    assert not torch.allclose(network.represent(inputs), network.represent(told), atol=1e-4)


def test_only_the_bridge_to_the_decoder_has_a_bias(network: TokenTransformerNetwork) -> None:
    names = [name for name, _ in network.named_parameters() if name.endswith("bias")]
    assert names == ["decoder.embed.bias"]


@pytest.mark.parametrize(
    ("design", "output", "complaint"),
    [
        (DESIGN, Output(dim=5, modality="text"), "'words' has 5 values .* 268 ids"),
        (DESIGN, Output(dim=12, places="all", modality="tokens"), "token_transformer predicts at target"),
        (replace(DESIGN, depth=0), Output(dim=12, modality="tokens"), "model.depth=0"),
        (replace(DESIGN, decoder_depth=0), Output(dim=12, modality="tokens"), "model.decoder_depth=0"),
    ],
)
def test_what_cannot_be_built_is_refused(design: TokenTransformer, output: Output, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        design.build(MODALITIES, outputs={"words": output})
