import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.masking.spans import Sentinels, SentinelSpans
from pipelines.modalities import Text
from shards.errors import SettingsError
from tests.pipelines.masking.samples import IMAGE, Told, Words, World, told

FIRST = 900
SENTINELS = Sentinels(first=FIRST, count=60)


def world(lengths: list[int], length: int) -> World:
    ids = torch.arange(length).expand(len(lengths), -1) + 1
    return World(inputs={"text": ids}, lengths={"text": torch.tensor(lengths)})


def plans(masking: SentinelSpans, lengths: list[int], *, length: int = 64, epoch: int = 0) -> list[Told]:
    context = world(lengths, length).context(range(len(lengths)), epoch=epoch)
    return told(masking.plan(context, modality=Text(length=length, tokenizer=Words())))


def restored(plan: Told) -> list[int]:
    """The text, put together again from what is read and what is predicted."""
    assert plan.visible_ids is not None
    assert plan.target_ids is not None
    spans: dict[int, list[int]] = {}
    for token in plan.target_ids:
        if token >= FIRST:
            spans[token] = []
        else:
            spans[max(spans)].append(token)
    text: list[int] = []
    for token in plan.visible_ids:
        text += spans[token] if token >= FIRST else [token]
    return text


def num_spans(plan: Told) -> int:
    assert plan.visible_ids is not None
    return sum(token >= FIRST for token in plan.visible_ids)


@given(st.lists(st.integers(0, 64), min_size=1, max_size=6), st.floats(0.01, 0.99), st.floats(1, 10), st.integers(0, 9))
@settings(deadline=None, max_examples=150)
def test_input_and_target_together_are_the_text(lengths: list[int], ratio: float, mean: float, epoch: int) -> None:
    masking = SentinelSpans(sentinels=SENTINELS, ratio=ratio, mean_span=mean)
    for plan, length in zip(plans(masking, lengths, epoch=epoch), lengths, strict=True):
        assert restored(plan) == list(range(1, length + 1))
        hidden = masking.num_target(length) if length > 1 else 0
        spans = num_spans(plan)
        assert len(plan.visible) == length - hidden + spans
        assert len(plan.target) == (hidden + spans + 1 if hidden else 0)
        assert (spans >= 1) == (hidden >= 1)


def test_sentinels_count_up_and_close_the_target() -> None:
    (plan,) = plans(SentinelSpans(sentinels=SENTINELS, ratio=0.3), [40])
    assert plan.visible_ids is not None
    assert plan.target_ids is not None
    assert [token for token in plan.visible_ids if token >= FIRST] == [900, 901, 902, 903]
    assert [token for token in plan.target_ids if token >= FIRST] == [900, 901, 902, 903, 904]
    assert plan.target_ids[-1] == 904


def test_places_are_those_of_the_tokens_and_a_sentinel_stands_where_its_span_begins() -> None:
    (plan,) = plans(SentinelSpans(sentinels=SENTINELS, ratio=0.3), [40])
    for places, ids in ((plan.visible, plan.visible_ids), (plan.target, plan.target_ids)):
        assert ids is not None
        assert all(token == place + 1 for place, token in zip(places, ids, strict=True) if token < FIRST)
    assert plan.visible_ids is not None
    assert plan.target_ids is not None
    begins = {token: place for place, token in zip(plan.visible, plan.visible_ids, strict=True) if token >= FIRST}
    for column, token in enumerate(plan.target_ids[:-1]):
        if token >= FIRST:
            assert plan.target[column] == plan.target[column + 1] == begins[token]


@pytest.mark.parametrize(
    ("ratio", "mean", "length", "hidden", "spans"),
    [
        (0.15, 3.0, 512, 77, 26),
        (0.15, 3.0, 10, 2, 1),
        (0.5, 2.0, 64, 32, 16),
        (0.9, 1.0, 10, 9, 2),
        (0.15, 3.0, 2, 1, 1),
    ],
)
def test_counts_are_rounded_as_stated(ratio: float, mean: float, length: int, hidden: int, spans: int) -> None:
    masking = SentinelSpans(sentinels=SENTINELS, ratio=ratio, mean_span=mean)
    (plan,) = plans(masking, [length], length=512)
    assert masking.num_target(length) == hidden
    assert num_spans(plan) == spans
    assert len(plan.target) == hidden + spans + 1


def test_there_are_no_more_spans_than_sentinels_can_name() -> None:
    (plan,) = plans(SentinelSpans(sentinels=Sentinels(first=FIRST, count=4), ratio=0.5, mean_span=1.0), [60])
    assert num_spans(plan) == 3
    assert plan.target_ids is not None
    assert max(plan.target_ids) == FIRST + 3


def test_a_text_without_tokens_gives_only_padding_and_one_of_a_single_token_stays() -> None:
    nothing, single, text = plans(SentinelSpans(sentinels=SENTINELS), [0, 1, 64])
    assert nothing == Told((), (), (), ())
    assert single == Told((0,), (), (1,), ())
    assert len(text.target) == 10 + 3 + 1


def test_all_arrangements_are_as_likely() -> None:
    found = plans(SentinelSpans(sentinels=SENTINELS, ratio=0.25, mean_span=3.0), [32] * 6000, length=32)
    counts = np.zeros(32)
    for plan in found:
        counts[list(set(plan.target))] += 1
    # An end is hidden where one of 3 spans takes the first of the 25 gaps that 24 visible tokens leave.
    np.testing.assert_allclose(counts[[0, -1]], 6000 * 3 / 25, atol=5 * 25)
    np.testing.assert_allclose(counts[6:26], 1575, atol=5 * 34)
    np.testing.assert_allclose(counts, counts[::-1], atol=5 * 48)


def test_span_lengths_have_the_stated_mean_and_vary() -> None:
    found = plans(SentinelSpans(sentinels=SENTINELS, ratio=0.3, mean_span=3.0), [60] * 500)
    lengths = []
    for plan in found:
        places = sorted(set(plan.target))
        lengths += [len(run) for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)]
    assert np.mean(lengths) == pytest.approx(3.0)
    # Cutting 18 tokens into 6 parts at random: parts of one token are the likeliest, 5 / 17 of all.
    assert np.mean(np.array(lengths) == 1) == pytest.approx(5 / 17, abs=0.03)


def test_what_is_no_text_or_not_there_is_refused() -> None:
    masking = SentinelSpans(sentinels=SENTINELS)
    with pytest.raises(SettingsError, match="'image' looks at it, but the batch holds text"):
        masking.plan(world([5], 64).context([0]), modality=IMAGE)
    pixels = World(inputs={"image": torch.zeros(1, 3, 6, 6, dtype=torch.uint8)})
    with pytest.raises(SettingsError, match=r"needs 36 token ids .* found uint8 of shape \(1, 3, 6, 6\)"):
        masking.plan(pixels.context([0]), modality=IMAGE)


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least 2"):
        Sentinels(first=0, count=1)
    with pytest.raises(SettingsError, match="mean of at least 1"):
        SentinelSpans(sentinels=SENTINELS, mean_span=0.5)
    with pytest.raises(SettingsError, match="mask ratio"):
        SentinelSpans(sentinels=SENTINELS, ratio=1.0)
