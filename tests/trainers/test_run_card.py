import dataclasses
import json
import sys
from pathlib import Path

import pytest

from shards.errors import SettingsError
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe
from trainers.run_card import DatasetRecord, RunCard, RunCardError, describe, describe_recipe


def card_of(*settings: str) -> RunCard:
    cats = DatasetRecord(name="cats", path="/data/cats", dataset_id="abc", weight="0:1")
    return RunCard.of("mae", size="tiny", settings=settings, seed=7, datasets=[cats])


def test_a_card_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    card = card_of("model.depth=4", "training.clip_norm=none")
    card.save(tmp_path)
    assert RunCard.load(tmp_path) == card


def test_a_card_rebuilds_the_recipe_of_its_run() -> None:
    card = RunCard.from_json(card_of("model.depth=4").to_json())
    assert card.rebuild() == resolve_recipe("mae", size="tiny", settings=["model.depth=4"])


def test_a_card_holds_every_value_of_the_resolved_recipe() -> None:
    resolved = json.loads(card_of("model.depth=4").to_json())["resolved"]
    assert resolved["model"]["depth"] == 4
    assert resolved["training"]["betas"] == [0.9, 0.95]
    assert resolved["objective"][0]["loss"] == "trainers.objectives:squared_error"


def test_a_recipe_that_changed_since_the_run_is_refused_with_the_difference() -> None:
    content = json.loads(card_of().to_json())
    content["resolved"]["training"]["base_lr"] = 1e-3
    card = RunCard.from_json(json.dumps(content))
    with pytest.raises(RunCardError, match=r"training.base_lr was 0.001, is 0.00015"):
        card.rebuild()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"card_version": 3}'])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(RunCardError, match="not a run card"):
        RunCard.from_json(text)


def test_a_card_of_another_version_is_refused() -> None:
    content = {**json.loads(card_of().to_json()), "card_version": 99}
    with pytest.raises(RunCardError, match="version 99, this maskloom reads 3"):
        RunCard.from_json(json.dumps(content))


def test_a_folder_without_a_card_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunCardError, match=r"not the folder of a run: it has no run\.json"):
        RunCard.load(tmp_path)


def test_a_loss_without_a_name_cannot_be_recorded() -> None:
    recipe: Recipe = resolve_recipe("mae", size="tiny")
    term = dataclasses.replace(recipe.objective[0], loss=lambda predicted, wanted: (predicted - wanted).mean())
    with pytest.raises(SettingsError, match="named functions"):
        describe(dataclasses.replace(recipe, objective=(term,)))


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCard:
    """The card of a run by code that leaves a trace when it is imported."""
    (tmp_path / "trap.py").write_text(
        "import pathlib\nfrom trainers.recipes.mae import recipe\n"
        f"pathlib.Path({str(tmp_path / 'executed')!r}).touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    return dataclasses.replace(card_of(), recipe="trap:recipe")


def test_a_card_cannot_make_anybody_execute_code(foreign: RunCard, tmp_path: Path) -> None:
    with pytest.raises(RunCardError, match="if you trust it, say so with --recipe trap:recipe"):
        foreign.rebuild()
    with pytest.raises(RunCardError, match="recipe 'mae' was asked for, but this run was made by 'trap:recipe'"):
        foreign.rebuild(typed="mae")
    assert not (tmp_path / "executed").exists()


def test_code_that_was_typed_is_executed_and_compared_with_the_card(foreign: RunCard, tmp_path: Path) -> None:
    assert foreign.rebuild(typed="trap:recipe").name == "mae"
    assert (tmp_path / "executed").exists()
    other = {**foreign.resolved, "paper": "arXiv:0"}
    with pytest.raises(RunCardError, match="paper was 'arXiv:0'"):
        dataclasses.replace(foreign, resolved=other).rebuild(typed="trap:recipe")


def test_a_recipe_with_stored_targets_does_not_claim_its_own_views() -> None:
    computed = describe_recipe(resolve_recipe("maskfeat", size="tiny"))
    stored = describe_recipe(resolve_recipe("maskfeat", size="tiny", settings=["targets.hog.source=stored"]))
    assert computed["views"]["scale"] == [0.5, 1.0]
    assert stored["views"] == "those of the stored targets"
