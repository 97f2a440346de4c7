import numpy as np
import pytest
import torch

from pipelines.masking.budget import Alpha, Shares, TokenBudgets, VisibleBudget
from pipelines.masking.plan import JointMasking, MaskPlan
from pipelines.masking.spans import Sentinels
from pipelines.modalities import Image, Modality, Text, Tokens
from pipelines.settings import apply_settings
from shards.errors import SettingsError
from tests.pipelines.masking.samples import Words, World, told

FIRST = 2000
SENTINELS = Sentinels(first=FIRST, count=200)
IMAGE = Image(size=224, patch=16)
DEPTH, CLIP = (Tokens(stored=name, grid=(14, 14), vocabulary=8192) for name in ("depth", "clip"))
GLOBAL = Tokens(stored="global", grid=(16,), vocabulary=8192)
CAPTION, BOXES = (Text(length=64, tokenizer=Words(), name=name) for name in ("caption", "boxes"))
ALL: tuple[Modality, ...] = (IMAGE, DEPTH, CLIP, GLOBAL, CAPTION, BOXES)
SAMPLES = 600


def world(**lengths: int) -> World:
    generator = np.random.default_rng(0)
    drawn = {text.name: torch.from_numpy(generator.integers(3, 65, SAMPLES)) for text in (CAPTION, BOXES)}
    fixed = {name: torch.full((SAMPLES,), length) for name, length in lengths.items()}
    ids = {text.name: torch.arange(64).expand(SAMPLES, -1) + 1 for text in (CAPTION, BOXES)}
    return World(inputs=ids, lengths={**drawn, **fixed})


def everything(alpha: float, modalities: tuple[Modality, ...] = ALL) -> Shares:
    alphas = tuple(Alpha(name=modality.name, inputs=alpha, targets=alpha) for modality in modalities)
    return Shares(name=f"alpha {alpha}", alphas=alphas)


def counts(plans: dict[str, MaskPlan], half: str) -> np.ndarray:
    """Real tokens, [batch, modalities]."""
    return np.array([[len(getattr(one, half)) for one in told(plan)] for plan in plans.values()]).T


def budgets(*mixture: Shares, inputs: int = 128, targets: int = 128) -> TokenBudgets:
    return TokenBudgets(inputs=inputs, targets=targets, mixture=mixture, sentinels=SENTINELS)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 10.0, 1000.0])
def test_exactly_the_budget_is_visible_and_all_else_is_predicted(alpha: float) -> None:
    plans = VisibleBudget(visible=98, alpha=alpha).plan_jointly(
        World().context(range(SAMPLES)), modalities=(IMAGE, DEPTH, CLIP)
    )
    assert (counts(plans, "visible").sum(axis=1) == 98).all()
    assert (counts(plans, "visible") + counts(plans, "target") == 196).all()


def test_visible_shares_follow_the_dirichlet_distribution() -> None:
    context = World().context(range(20_000))
    for alpha in (0.5, 1.0, 5.0):
        plans = VisibleBudget(visible=98, alpha=alpha).plan_jointly(context, modalities=(IMAGE, DEPTH, CLIP))
        padding = [plan.visible_padding for plan in plans.values()]
        shares = np.array([(~mask).sum(dim=1).numpy() for mask in padding if mask is not None]) / 98
        np.testing.assert_allclose(shares.mean(axis=1), 1 / 3, atol=0.01)
        np.testing.assert_allclose(shares.var(axis=1), 2 / 9 / (3 * alpha + 1), rtol=0.05)


def test_an_absent_modality_leaves_its_share_to_the_others() -> None:
    half_absent = torch.arange(SAMPLES) % 2 * 196
    context = World(lengths={"depth": half_absent}).context(range(SAMPLES))
    plans = VisibleBudget(visible=98).plan_jointly(context, modalities=(IMAGE, DEPTH))
    found = counts(plans, "visible")
    assert (found[::2] == [98, 0]).all()
    assert (found.sum(axis=1) == 98).all()


@pytest.mark.parametrize("alpha", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("budget", [16, 128, 256])
def test_both_budgets_are_filled_wherever_there_are_tokens(alpha: float, budget: int) -> None:
    plans = budgets(everything(alpha), inputs=budget, targets=budget).plan_jointly(
        world().context(range(SAMPLES)), modalities=ALL
    )
    assert (counts(plans, "visible").sum(axis=1) == budget).all()
    assert (counts(plans, "target").sum(axis=1) == budget).all()


def test_absent_modalities_and_short_texts_cost_no_slot() -> None:
    context = world(image=0, caption=0, boxes=2).context(range(SAMPLES))
    plans = budgets(everything(0.5)).plan_jointly(context, modalities=ALL)
    visible, target = counts(plans, "visible"), counts(plans, "target")
    assert (visible.sum(axis=1) == 128).all()
    assert (target.sum(axis=1) == 128).all()
    assert not visible[:, [0, 4]].any()
    assert not target[:, [0, 4]].any()


def test_a_sample_with_too_few_tokens_gives_all_it_has() -> None:
    context = world(image=0, depth=0, clip=0, caption=0, boxes=0).context(range(SAMPLES))
    plans = budgets(everything(0.5), inputs=10, targets=10).plan_jointly(context, modalities=ALL)
    assert (counts(plans, "visible")[:, 3] == 10).all()
    assert (counts(plans, "target")[:, 3] == 6).all()


def test_no_modality_gets_more_than_it_has_and_no_token_is_both_seen_and_predicted() -> None:
    plans = budgets(everything(0.1), inputs=256, targets=256).plan_jointly(
        world().context(range(SAMPLES)), modalities=ALL
    )
    for modality in ALL[:4]:
        for plan in told(plans[modality.name]):
            tokens = plan.visible + plan.target
            assert len(tokens) == len(set(tokens))
            assert all(0 <= token < modality.num_tokens for token in tokens)


def test_inputs_and_targets_can_be_different_modalities() -> None:
    shares = Shares(
        name="to text",
        alphas=(
            Alpha(name="image", inputs=1000.0),
            Alpha(name="depth", targets=1.0),
            Alpha(name="caption", targets=1.0),
        ),
    )
    plans = budgets(shares).plan_jointly(world().context(range(SAMPLES)), modalities=ALL)
    assert (counts(plans, "visible") == [128, 0, 0, 0, 0, 0]).all()
    target = counts(plans, "target")
    assert (target.sum(axis=1) == 128).all()
    assert not target[:, [0, 2, 3, 5]].any()
    assert target[:, [1, 4]].any(axis=0).all()


def test_each_way_to_share_is_drawn_as_often_as_it_weighs() -> None:
    one, two = (
        Shares(name=name, weight=weight, alphas=(Alpha(name=name, inputs=1.0, targets=1.0),))
        for name, weight in (("image", 3.0), ("depth", 1.0))
    )
    context = World().context(range(8000))
    plans = budgets(one, two).plan_jointly(context, modalities=(IMAGE, DEPTH))
    assert plans["image"].visible_padding is not None
    is_image = ~plans["image"].visible_padding[:, 0]
    assert float(is_image.float().mean()) == pytest.approx(0.75, abs=0.02)
    assert plans["image"].target_padding is not None
    assert torch.equal(~plans["image"].target_padding[:, 0], is_image)


def test_a_concentration_of_thousand_makes_shares_equal() -> None:
    plans = budgets(everything(1000.0, ALL[:3])).plan_jointly(world().context(range(SAMPLES)), modalities=ALL[:3])
    assert abs(counts(plans, "visible") - 128 / 3).max() < 10


def spans_of(plan: MaskPlan) -> list[tuple[list[int], list[int]]]:
    return [(list(one.visible_ids or ()), list(one.target_ids or ())) for one in told(plan)]


def test_text_that_is_read_in_part_is_predicted_where_sentinels_stand() -> None:
    plans = budgets(everything(10.0), inputs=100, targets=400).plan_jointly(
        world().context(range(SAMPLES)), modalities=ALL
    )
    lengths = world().lengths["caption"].tolist()
    seen = 0
    for (read, written), length in zip(spans_of(plans["caption"]), lengths, strict=True):
        sentinels = [token for token in read if token >= FIRST]
        assert sentinels == list(range(FIRST, FIRST + len(sentinels)))
        missing = set(range(1, length + 1)) - set(read)
        assert {token for token in written if token < FIRST} <= missing
        if written and written[0] == FIRST and written[-1] == FIRST + len(sentinels) and sentinels:
            assert {token for token in written if token < FIRST} == missing
            seen += 1
        assert not written or written[0] >= FIRST
    assert seen > SAMPLES / 4


def test_a_text_that_fits_is_read_whole_and_one_that_is_not_read_is_predicted_whole() -> None:
    whole = Shares(name="read", alphas=(Alpha(name="caption", inputs=1.0), Alpha(name="image", targets=1.0)))
    plans = budgets(whole).plan_jointly(world().context(range(SAMPLES)), modalities=ALL)
    lengths = world().lengths["caption"].tolist()
    assert [read for read, _ in spans_of(plans["caption"])] == [list(range(1, length + 1)) for length in lengths]
    unread = Shares(name="written", alphas=(Alpha(name="image", inputs=1.0), Alpha(name="caption", targets=1.0)))
    plans = budgets(unread).plan_jointly(world().context(range(SAMPLES)), modalities=ALL)
    for (read, written), length in zip(spans_of(plans["caption"]), lengths, strict=True):
        assert not read
        assert written == [FIRST, *range(1, length + 1), FIRST + 1]


def test_a_target_that_is_cut_begins_at_a_sentinel_anywhere_and_fills_its_budget() -> None:
    shares = Shares(name="text", alphas=(Alpha(name="caption", inputs=1.0, targets=1.0),))
    context = world(caption=64).context(range(SAMPLES))
    plans = budgets(shares, inputs=30, targets=20).plan_jointly(context, modalities=ALL)
    found = spans_of(plans["caption"])
    assert all(len(read) == 30 and len(written) == 20 for read, written in found)
    begins = [written[0] - FIRST for _, written in found]
    assert min(begins) == 0
    assert len(set(begins)) > 3
    assert all(written[0] in read for read, written in found)


def test_few_sentinels_are_enough() -> None:
    masking = TokenBudgets(inputs=60, targets=60, mixture=(everything(1.0),), sentinels=Sentinels(first=FIRST, count=2))
    plans = masking.plan_jointly(world().context(range(SAMPLES)), modalities=ALL)
    assert (counts(plans, "visible").sum(axis=1) == 60).all()
    assert all(max(read + written, default=0) <= FIRST + 1 for read, written in spans_of(plans["caption"]))


def test_spans_can_be_as_short_as_numbers_allow() -> None:
    masking = TokenBudgets(
        inputs=60, targets=60, mixture=(everything(1.0),), sentinels=SENTINELS, mean_span=1.0 + 2**-52
    )
    plans = masking.plan_jointly(world().context(range(SAMPLES)), modalities=ALL)
    assert (counts(plans, "target").sum(axis=1) == 60).all()


def test_shares_of_an_unknown_modality_and_text_without_sentinels_are_refused() -> None:
    context = world().context(range(SAMPLES))
    shares = Shares(name="typo", alphas=(Alpha(name="captoin", inputs=1.0, targets=1.0),))
    with pytest.raises(SettingsError, match=r"'typo' have an alpha for 'captoin'.*Did you mean 'caption'"):
        budgets(shares).plan_jointly(context, modalities=ALL)
    with pytest.raises(SettingsError, match=r"'caption' is text.*give `sentinels`"):
        TokenBudgets(inputs=8, targets=8, mixture=(everything(1.0),)).plan_jointly(context, modalities=ALL)


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        VisibleBudget(visible=0)
    with pytest.raises(SettingsError, match="concentration"):
        VisibleBudget(visible=10, alpha=0.0)
    with pytest.raises(SettingsError, match="concentration alpha of 'image'"):
        Alpha(name="image", inputs=-1.0)
    with pytest.raises(SettingsError, match="no inputs or no targets"):
        Shares(name="none", alphas=(Alpha(name="image", inputs=1.0),))
    with pytest.raises(SettingsError, match=r"weight 0\.0"):
        Shares(name="none", weight=0.0, alphas=(Alpha(name="image", inputs=1.0, targets=1.0),))
    with pytest.raises(SettingsError, match="two alphas"):
        Shares(name="twice", alphas=(Alpha(name="image", inputs=1.0, targets=1.0), Alpha(name="image")))
    with pytest.raises(SettingsError, match="at least 1 of each"):
        budgets(everything(1.0), inputs=0)
    with pytest.raises(SettingsError, match="name of its own"):
        budgets(everything(1.0), everything(1.0))
    with pytest.raises(SettingsError, match="name of its own"):
        budgets()
    with pytest.raises(SettingsError, match="mean above 1"):
        TokenBudgets(inputs=8, targets=8, mixture=(everything(1.0),), mean_span=1.0)


def test_budgets_are_joint_maskings() -> None:
    assert isinstance(VisibleBudget(visible=9), JointMasking)
    assert isinstance(budgets(everything(1.0)), JointMasking)


def test_every_setting_can_be_set_by_its_path() -> None:
    shares = Shares(name="any", alphas=(Alpha(name="image", inputs=1.0, targets=1.0), Alpha(name="depth", inputs=1.0)))
    changed = apply_settings(
        budgets(shares),
        ["inputs=64", "mixture.any.weight=2", "mixture.any.alphas.depth.targets=0.5", "sentinels.count=50"],
    )
    assert changed.inputs == 64
    assert changed.mixture[0].weight == 2
    assert changed.mixture[0].alphas[1] == Alpha(name="depth", inputs=1.0, targets=0.5)
    assert changed.sentinels == Sentinels(first=FIRST, count=50)
