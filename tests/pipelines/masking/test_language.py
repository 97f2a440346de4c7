import numpy as np
import pytest
import torch

from pipelines.masking.language import MaskedLanguage
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Text
from shards.errors import SettingsError
from tests.pipelines.masking.samples import Told, Words, World, told

MASK, VOCABULARY = 4, 1000
LENGTH, BATCH = 100, 500
TEXT = Text(length=LENGTH, tokenizer=Words())
IDS = torch.from_numpy(np.random.default_rng(0).integers(10, VOCABULARY, (BATCH, LENGTH)))
MASKING = MaskedLanguage(mask_id=MASK, vocabulary=VOCABULARY)


def planned(masking: MaskedLanguage, lengths: torch.Tensor | None = None, ids: torch.Tensor = IDS) -> MaskPlan:
    world = World(inputs={"text": ids}, lengths={} if lengths is None else {"text": lengths})
    return masking.plan(world.context(range(BATCH)), modality=TEXT)


def test_all_is_visible_and_fifteen_per_cent_are_predicted() -> None:
    plan = planned(MASKING)
    assert torch.equal(plan.visible, torch.arange(LENGTH).expand(BATCH, -1))
    assert plan.target.shape == (BATCH, 15)
    assert plan.target_ids is not None
    assert torch.equal(plan.target_ids, IDS.gather(1, plan.target))
    assert all(len(set(row)) == 15 for row in plan.target.tolist())


def test_eight_of_ten_are_masked_one_is_swapped_one_is_kept_and_others_are_untouched() -> None:
    plan = planned(MASKING)
    assert plan.visible_ids is not None
    is_predicted = torch.zeros(BATCH, LENGTH, dtype=torch.bool).scatter(1, plan.target, True)
    assert torch.equal(plan.visible_ids[~is_predicted], IDS[~is_predicted])
    read, original = plan.visible_ids[is_predicted], IDS[is_predicted]
    # Of 7500 tokens, standard deviations are below 0.005.
    assert (read == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (read == original).float().mean() == pytest.approx(0.1, abs=0.015)
    swapped = read[(read != MASK) & (read != original)]
    assert len(swapped) / 7500 == pytest.approx(0.1, abs=0.015)
    assert swapped.max() < VOCABULARY
    assert abs(swapped.float().mean() - VOCABULARY / 2) < 50


def test_shares_can_be_all_or_nothing() -> None:
    kept = planned(MaskedLanguage(mask_id=MASK, vocabulary=VOCABULARY, swapped=0.0, kept=1.0))
    assert torch.equal(kept.visible_ids, IDS)  # type: ignore[arg-type]
    masked = planned(MaskedLanguage(mask_id=MASK, vocabulary=VOCABULARY, swapped=0.0, kept=0.0))
    assert (masked.visible_ids.gather(1, masked.target) == MASK).all()  # type: ignore[union-attr]


def test_padding_is_neither_counted_nor_predicted_nor_read() -> None:
    lengths = torch.arange(BATCH) % 21
    plans = told(planned(MASKING, lengths))
    for plan, length in zip(plans, lengths.tolist(), strict=True):
        assert plan.visible == tuple(range(length))
        assert len(plan.target) == (max(1, round(length * 3 / 20)) if length else 0)
        assert all(place < length for place in plan.target)
    assert plans[0] == Told((), (), (), ())


def test_special_ids_are_counted_but_never_predicted() -> None:
    ids = IDS.clone()
    ids[:, 0], ids[:, -1] = 1, 2
    plan = planned(MaskedLanguage(mask_id=MASK, vocabulary=VOCABULARY, ratio=0.99, special=(1, 2)), ids=ids)
    assert plan.target.shape == (BATCH, 98)
    assert plan.target.min() == 1
    assert plan.target.max() == LENGTH - 2


def test_a_text_of_special_ids_alone_has_no_target() -> None:
    plan = planned(MaskedLanguage(mask_id=MASK, vocabulary=VOCABULARY, special=(1,)), ids=torch.ones_like(IDS))
    assert plan.target.shape == (BATCH, 0)


@pytest.mark.parametrize(
    "wrong", [{"ratio": 0.0}, {"swapped": -0.1}, {"swapped": 0.6, "kept": 0.6}, {"mask_id": 1000}, {"mask_id": -1}]
)
def test_senseless_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"asked for|not in a vocabulary"):
        MaskedLanguage(**{"mask_id": MASK, "vocabulary": VOCABULARY, **wrong})  # type: ignore[arg-type]
