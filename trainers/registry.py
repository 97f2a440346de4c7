"""Recipes by name: the folder `trainers/recipes` is the registry, other code is named `package.module:function`.

Naming a recipe `package.module:function` executes that module. So such a name is followed only where the user typed it
on this command line (`find_typed_recipe`), never where it stands in a file (`find_recipe`): somebody's run folder must
not be able to run code by being looked at.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from pipelines.settings import apply_settings
from shards.errors import SettingsError, did_you_mean
from trainers import recipes
from trainers.recipe import Recipe


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with maskloom, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(recipes.__path__)))


def recipe_summary(name: str) -> str:
    """Return the first line of the documentation of a recipe that comes with maskloom."""
    return (inspect.getdoc(inspect.getmodule(find_recipe(name))) or "").partition("\n")[0]


def is_outside(name: str) -> bool:
    """Tell whether a name has the form `package.module:function`."""
    return ":" in name


def find_typed_recipe(name: str) -> Callable[[str], Recipe]:
    """Return the function from a size to a recipe, for a name that the user typed on this command line.

    `package.module:function` is imported, which executes it; the current folder counts as a place for modules.
    Raises SettingsError if there is no such recipe.
    """
    return _outside_recipe(name) if is_outside(name) else find_recipe(name)


def find_recipe(name: str) -> Callable[[str], Recipe]:
    """Return the function from a size to a recipe, for the name of a file in the folder; executes nothing else.

    Raises SettingsError if there is none.
    """
    known = recipe_names()
    if name not in known:
        raise SettingsError(
            f"there is no recipe '{name}'; recipes are {', '.join(known)}.{did_you_mean(name, known)} "
            "A recipe of your own is named `package.module:function`."
        )
    function: Callable[[str], Recipe] = importlib.import_module(f"{recipes.__name__}.{name}").recipe
    return function


def resolve_recipe(name: str, *, size: str, settings: Sequence[str] = ()) -> Recipe:
    """Return a recipe that comes with maskloom at `size`, changed by settings `path=value`.

    Raises SettingsError if a name, the size or a setting makes no sense.
    """
    return _changed(name, find_recipe(name), size=size, settings=settings)


def resolve_typed_recipe(name: str, *, size: str, settings: Sequence[str] = ()) -> Recipe:
    """Return the recipe that the user typed on this command line; as `resolve_recipe`, and see `find_typed_recipe`."""
    return _changed(name, find_typed_recipe(name), size=size, settings=settings)


def _changed(name: str, function: Callable[[str], Recipe], *, size: str, settings: Sequence[str]) -> Recipe:
    recipe = function(size)
    if not isinstance(recipe, Recipe):
        raise SettingsError(f"'{name}' returned a {type(recipe).__name__}; a recipe function returns a trainers.Recipe")
    return apply_settings(recipe, settings)


def _outside_recipe(name: str) -> Callable[[str], Recipe]:
    module_name, _, function_name = name.partition(":")
    module = _import_outside(module_name, name=name)
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise SettingsError(
            f"recipe '{name}': module '{module_name}' has no function '{function_name}'."
            f"{did_you_mean(function_name, functions)}"
        )
    found: Callable[[str], Recipe] = function
    return found


def _import_outside(module_name: str, *, name: str) -> ModuleType:
    _make_current_folder_importable()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is found but misses one of its own imports is reported by Python itself.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise SettingsError(
            f"recipe '{name}': there is no module '{error.name}' on the Python path; run from the folder it is in, "
            "or install it"
        ) from error


def _make_current_folder_importable() -> None:
    """Look for modules here first, as `python -m maskloom` does and the installed command does not."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
