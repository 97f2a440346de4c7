import sys
from pathlib import Path

import pytest

from shards.errors import SettingsError
from trainers.recipes import mae
from trainers.registry import (
    find_recipe,
    find_typed_recipe,
    recipe_names,
    recipe_summary,
    resolve_recipe,
    resolve_typed_recipe,
)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_recipes.py").write_text(
        "from trainers.recipes import mae\n"
        "def deeper(size):\n    return mae.recipe(size)\n"
        "def broken(size):\n    return size\n"
    )
    (tmp_path / "needs_more.py").write_text("import a_module_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_recipes", raising=False)


def test_every_file_in_the_folder_is_a_recipe() -> None:
    files = Path(mae.__file__).parent.glob("[a-z]*.py")
    assert recipe_names() == tuple(sorted(file.stem for file in files))
    assert {"mae", "maskfeat"} <= set(recipe_names())


def test_summary_is_the_first_line_of_the_file() -> None:
    assert recipe_summary("mae").startswith("MAE: predict the normalised pixels")


def test_a_close_miss_is_answered_with_the_name_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"no recipe 'maskfaet'; recipes are .*Did you mean 'maskfeat'\?"):
        find_recipe("maskfaet")


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no size 'bsae'; sizes are tiny, .*Did you mean 'base'\?"):
        resolve_recipe("mae", size="bsae")


@pytest.mark.usefixtures("outside")
def test_a_recipe_outside_the_folder_is_found_by_module_and_function() -> None:
    assert resolve_typed_recipe("my_recipes:deeper", size="tiny", settings=["model.depth=6"]).model.depth == 6


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_recipes:depeer", r"no function 'depeer'. Did you mean 'deeper'\?"),
        ("my_recipse:deeper", "there is no module 'my_recipse' on the Python path"),
        ("my_recipes:broken", "returned a str; a recipe function returns a trainers.Recipe"),
    ],
)
def test_an_outside_recipe_that_cannot_be_used_says_why(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve_typed_recipe(name, size="tiny")


@pytest.mark.usefixtures("outside")
def test_an_import_error_inside_an_outside_recipe_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_nobody_has"):
        find_typed_recipe("needs_more:recipe")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", ["my_recipes:deeper", "os:system"])
def test_a_name_that_nobody_typed_is_not_imported(name: str) -> None:
    with pytest.raises(SettingsError, match=f"no recipe '{name}'"):
        resolve_recipe(name, size="tiny")
    assert "my_recipes" not in sys.modules


def test_a_typed_recipe_may_lie_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes_right_here.py").write_text("from trainers.recipes.mae import recipe\n")
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    monkeypatch.chdir(tmp_path)
    assert resolve_typed_recipe("recipes_right_here:recipe", size="tiny").name == "mae"
