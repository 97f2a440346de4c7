"""A picture and a text are encoded apart, look at each other, and are told to be a pair or not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image, Text
from pipelines.tokenizers.byte import ByteTokenizer
from shards.errors import SettingsError
from trainers.models.co_attention import CoAttention, CoAttentionNetwork, whole_plan
from trainers.nn.joint_decoders import JointDecoder
from trainers.nn.network import Output, matching

IMAGE, TEXT = Image(size=16, patch=4), Text(length=8, tokenizer=ByteTokenizer())
DECODER = JointDecoder(width=16, depth=1, heads=2, own_mask_tokens=False, with_kind=False)
ARCHITECTURE = CoAttention(width=24, depth=1, heads=3, fusion_depth=3, level=2, decoder=DECODER)
OUTPUTS = {"patches": Output(dim=48, modality="image"), "text": Output(dim=360, modality="text")}
PAIRS = matching("image", "text")
MASK = ByteTokenizer().mask_id
SAMPLES = 3
LENGTHS = {"text": torch.tensor([8, 6, 5])}


def network() -> CoAttentionNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((IMAGE, TEXT), outputs=OUTPUTS)


def inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(SAMPLES, 3, 16, 16, generator=generator),
        "text": torch.randint(4, 260, (SAMPLES, 8), generator=generator),
    }


def plans(text: Tensor) -> dict[str, MaskPlan]:
    """Patches 3, 0 and 6 of every picture are visible; of every text the second and the fourth word is masked."""
    beyond = torch.arange(8) >= LENGTHS["text"][:, None]
    shown = text.clone()
    shown[:, [1, 3]] = MASK
    target = torch.tensor([[1, 3]] * SAMPLES)
    seen = [3, 0, 6]
    return {
        "image": MaskPlan(
            visible=torch.tensor([seen] * SAMPLES),
            target=torch.tensor([[place for place in range(16) if place not in seen]] * SAMPLES),
        ),
        "text": MaskPlan(
            visible=torch.arange(8).expand(SAMPLES, -1).masked_fill(beyond, 0),
            target=target,
            visible_padding=beyond,
            visible_ids=shown,
            target_ids=text.gather(1, target),
        ),
    }


def predicted(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return network()(batch, plans(batch["text"]))


def with_patch(batch: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
    row, column = divmod(place, 4)
    changed = batch["image"].clone()
    changed[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 3
    return {**batch, "image": changed}


def with_word(batch: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
    changed = batch["text"].clone()
    changed[0, place] = 260 - (changed[0, place] - 4)
    return {**batch, "text": changed}


def moved(changed: Mapping[str, Tensor]) -> set[str]:
    """Which predictions for the first sample change."""
    before, after = predicted(inputs()), predicted(changed)
    return {name for name in before if not torch.allclose(before[name][0], after[name][0], atol=1e-6)}


def test_hidden_patches_help_with_words_and_pairs_but_never_with_patches() -> None:
    assert moved(with_patch(inputs(), 9)) == {"text", PAIRS}
    assert moved(with_patch(inputs(), 6)) == {"patches", "text", PAIRS}


def test_masked_words_help_with_patches_and_pairs_but_never_with_words() -> None:
    assert moved(with_word(inputs(), 3)) == {"patches", PAIRS}
    assert moved(with_word(inputs(), 2)) == {"patches", "text", PAIRS}


def test_nothing_behind_the_end_of_a_text_is_read() -> None:
    batch = inputs()
    changed = {**batch, "text": batch["text"].masked_fill(torch.arange(8) >= LENGTHS["text"][:, None], 7)}
    assert not torch.equal(changed["text"], batch["text"])
    torch.testing.assert_close(predicted(changed), predicted(batch))


def test_the_second_score_is_that_of_the_text_beside_the_picture_of_the_sample_before() -> None:
    batch = inputs()
    scores = predicted(batch)[PAIRS]
    assert scores.shape == (SAMPLES, 2)
    beside = predicted({**batch, "image": batch["image"].roll(1, dims=0)})[PAIRS]
    torch.testing.assert_close(beside[:, 0], scores[:, 1])
    assert not torch.allclose(scores[:, 0], scores[:, 1], atol=1e-5)


def test_permuted_samples_keep_the_scores_of_their_pairs_but_not_of_what_they_are_put_beside() -> None:
    batch, order = inputs(), torch.tensor([2, 1, 0])
    net = network()
    text = plans(batch["text"])["text"].changed(lambda rows: rows[order])
    permuted = net({name: rows[order] for name, rows in batch.items()}, {**plans(batch["text"]), "text": text})[PAIRS]
    scores = predicted(batch)[PAIRS]
    torch.testing.assert_close(permuted[:, 0], scores[order, 0])
    assert not torch.allclose(permuted[:, 1], scores[order, 1], atol=1e-6)


def test_blocks_behind_the_level_do_not_touch_what_is_decoded() -> None:
    net, batch = network(), inputs()
    before = net(batch, plans(batch["text"]))
    for parameter in net.fusion[2].parameters():
        torch.nn.init.normal_(parameter)
    after = net(batch, plans(batch["text"]))
    assert torch.equal(before["patches"], after["patches"])
    assert not torch.allclose(before["text"], after["text"])
    for parameter in net.fusion[1].parameters():
        torch.nn.init.normal_(parameter)
    assert not torch.allclose(before["patches"], net(batch, plans(batch["text"]))["patches"])


def test_a_whole_sample_is_all_that_is_shown_or_asked_for() -> None:
    batch = inputs()
    whole = {modality.name: whole_plan(plans(batch["text"])[modality.name], modality) for modality in (IMAGE, TEXT)}
    assert whole["image"].visible_padding is None
    assert whole["text"].visible_padding is not None
    assert torch.equal(whole["text"].visible_padding, torch.arange(8) >= LENGTHS["text"][:, None])
    assert whole["text"].visible_ids is None
    assert whole["image"].visible.tolist() == [list(range(16))] * SAMPLES


def test_the_whole_of_a_picture_that_a_sample_lacks_is_padding() -> None:
    seen = plans(inputs()["text"])["image"]
    lacking = torch.tensor([False, True, False])[:, None]
    marked = replace(
        seen, visible_padding=lacking.expand(seen.visible.shape), target_padding=lacking.expand(seen.target.shape)
    )
    padding = whole_plan(marked, IMAGE).visible_padding
    assert padding is not None
    assert torch.equal(padding, lacking.expand(SAMPLES, 16))


def test_a_sample_is_encoded_with_both_class_tokens_in_front() -> None:
    net, batch = network(), inputs()
    tokens = net.encode(batch, LENGTHS)
    assert tokens.shape == (SAMPLES, 2 + 16 + 8, 24)
    real = torch.arange(8) < LENGTHS["text"][:, None]
    for sample in range(SAMPLES):
        kept = torch.cat([tokens[sample, 2:18], tokens[sample, 18:][real[sample]]])
        torch.testing.assert_close(net.represent(batch, LENGTHS)[sample], kept.mean(dim=0))


def test_each_modality_is_represented_without_the_other() -> None:
    net, batch = network(), inputs()
    each = net.represent_each(batch, LENGTHS)
    other = net.represent_each({**batch, "image": batch["image"] + torch.randn(16)}, LENGTHS)
    assert list(each) == ["image", "text"]
    assert torch.equal(each["text"], other["text"])
    assert not torch.allclose(each["image"], other["image"])


def test_a_masking_that_hides_words_is_refused() -> None:
    batch = inputs()
    hidden = MaskPlan(visible=torch.tensor([[0, 1]] * SAMPLES), target=torch.tensor([[2, 3]] * SAMPLES))
    with pytest.raises(SettingsError, match=r"Give masking\.text a MaskedLanguage"):
        network()(batch, {**plans(batch["text"]), "text": hidden})


def test_one_modality_or_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="takes two modalities; this recipe has image"):
        ARCHITECTURE.build((IMAGE,), outputs=OUTPUTS)
    with pytest.raises(SettingsError, match=r"behind block 4 of 3 .* give model\.level between 1"):
        CoAttention(width=24, depth=1, heads=3, fusion_depth=3, level=4, decoder=DECODER).build(
            (IMAGE, TEXT), outputs=OUTPUTS
        )
