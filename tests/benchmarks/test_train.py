"""Both sides of the benchmark of training steps compute the same thing, and what is reported of them adds up."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.contestants import Ours, Setup, published
from benchmarks.products import Product, flop_of, flop_of_products, products_of, seconds_alone
from benchmarks.reference_networks import softmax_attention
from benchmarks.reference_steps import REFERENCES
from benchmarks.train import main, parsed_arguments
from pipelines.batch import Batch
from pipelines.device.choice import Precision
from pipelines.masking.random import random_plan
from trainers.published import autoencoders, cav_mae
from trainers.recipe import Recipe

SMALL = {
    "mae": ("modalities.image.size=32", "modalities.image.patch=8", "model.depth=2"),
    "video_mae": ("modalities.video.size=32", "modalities.video.patch=8", "modalities.video.frames=4", "model.depth=2"),
    "cav_mae": ("modalities.logmel.frames=64", "modalities.video.size=64", "model.own_depth=2"),
}
NAMINGS = {"mae": autoencoders.naming, "video_mae": autoencoders.naming, "cav_mae": cav_mae.naming}


def setup_of(name: str, *, precision: Precision = "fp32") -> Setup:
    return Setup(recipe=name, size="tiny", settings=SMALL[name], batch=3, device="cpu", precision=precision, threads=1)


def masked_alike(recipe: Recipe, batch: Batch, shown: tuple[Tensor, ...]) -> Batch:
    """Return the batch with the masks that a published network makes of the noise that it is shown."""
    kept = {name: plan.visible.shape[1] for name, plan in batch.plans.items()}
    match recipe.name:
        case "mae":
            return replace(batch, plans={"image": random_plan(shown[1], kept["image"])})
        case "cav_mae":
            times, bands = recipe.modality("logmel").grid
            by_time = shown[2].unflatten(1, (bands, times)).transpose(1, 2).flatten(1)
            plans = {"logmel": random_plan(by_time, kept["logmel"]), "video": random_plan(shown[3], kept["video"])}
            return replace(batch, plans=plans)
    return batch


@pytest.mark.parametrize("name", REFERENCES)
def test_both_sides_have_the_same_loss_with_the_same_weights(name: str) -> None:
    setup = setup_of(name)
    recipe, batch = setup.resolved, setup.ready_batch()
    theirs, ours = REFERENCES[name].network(recipe, batch, softmax_attention), recipe.network(seed=0)
    NAMINGS[name](ours).load(theirs.state_dict(), ours)
    shown = REFERENCES[name].shown(recipe, batch)()
    alike = masked_alike(recipe, batch, shown)
    loss, _ = recipe.loss(ours(alike.inputs, alike.plans), recipe.goals({})(alike))
    torch.testing.assert_close(loss, theirs(*shown), atol=1e-5, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", REFERENCES)
def test_steps_move_both_sides(name: str, precision: Precision) -> None:
    setup = setup_of(name, precision=precision)
    batch, ours = setup.ready_batch(), Ours(setup)
    theirs = published(setup, batch, "published")
    for network, step in ((ours.learner.network, lambda: ours.step(batch)), (theirs.network, theirs.step)):
        before = [parameter.detach().clone() for parameter in network.parameters()]
        step()
        moved = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
        assert all(moved), setup.recipe


@pytest.mark.parametrize("name", REFERENCES)
def test_all_of_our_work_is_in_products_and_the_published_codes_do_more_of_it(name: str) -> None:
    setup = setup_of(name)
    batch, ours = setup.ready_batch(), Ours(setup)
    own = flop_of(lambda: ours.step(batch))
    assert own == flop_of_products(products_of(lambda: ours.step(batch)))
    explicit, fused = (flop_of(published(setup, batch, arm).step) for arm in ("published", "published, fused"))
    assert own < explicit == fused < 1.5 * own


def test_products_are_counted_with_their_shapes() -> None:
    left, right = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
    pairs = Product(count=2, rows=3, inner=4, columns=5, dtype=torch.float32)
    single = Product(count=1, rows=3, inner=4, columns=5, dtype=torch.float32)
    found = products_of(lambda: [left @ right, left @ right, torch.addmm(torch.zeros(5), left[0], right[0])])
    assert found == {pairs: 2, single: 1}
    assert pairs.flop == 2 * 2 * 3 * 4 * 5


def test_products_alone_take_as_long_as_they_are_often() -> None:
    product, computed = Product(count=1, rows=2, inner=3, columns=4, dtype=torch.float32), []

    def clock(work: object) -> float:
        found = products_of(work)  # type: ignore[arg-type]
        computed.append(found)
        return float(sum(found.values()))

    assert seconds_alone({product: 3}, torch.device("cpu"), clock) == 3
    assert computed == [{product: 3}]


def test_recipes_without_a_published_step_are_refused() -> None:
    with pytest.raises(SystemExit):
        parsed_arguments(["simmim"])


@pytest.mark.slow
def test_everything_is_measured_and_written(sealed: Path, tmp_path: Path) -> None:
    words = ["mae", "--size", "tiny", "--batch", "2", "--rounds", "1", "--loading", "--data", str(sealed)]
    settings = [word for setting in SMALL["mae"] for word in ("--set", setting)]
    main([*words, *settings, "--json", str(tmp_path / "train.json")])
    written = json.loads((tmp_path / "train.json").read_text())["tables"]
    rows = {row["arm"]: row for row in written["steps"]}
    assert list(rows) == ["maskloom", "maskloom, shards", "published", "published, fused"]
    assert rows["maskloom"]["GFLOP"] == rows["maskloom, shards"]["GFLOP"]
    assert all(rows[arm]["MiB"] > 0 for arm in ("maskloom", "published"))
    assert {row["arm"]: len(row["rounds"]) for row in written["seconds"]} == dict.fromkeys(
        (f"mae: {arm}" for arm in (*rows, "products of the step alone", "one large product")), 1
    )
    assert [target["claim"] for target in written["targets"]] == ["mae: step / published", "mae: from shards / ready"]
