"""Settings `path=value`: typed changes to a tree of frozen dataclasses (a recipe, a teacher), refused when senseless.

A path walks fields of dataclasses, keys of mappings and named elements of tuples: `model.depth`, `masking.image.ratio`,
`targets.hog.source`. The type of the field decides how the value is read: `training.betas=0.9,0.95`,
`training.clip_norm=none`. All settings are applied at once, so two that only fit together may come in any order; when
one path is set twice, the last value counts.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from shards.errors import SettingsError, did_you_mean


@dataclasses.dataclass(frozen=True)
class ReadBy:
    """In `Annotated[kind, ReadBy(function)]`: what makes a value of this kind of what was typed.

    The function raises SettingsError where that makes no sense.
    """

    reader: Callable[[str], Any]


NAMING_FIELDS = ("name", "field", "target")
"""An element of a tuple goes by the first of these fields it has."""

Tree = dict[str, Any]
Root = TypeVar("Root")


def apply_settings(root: Root, settings: Sequence[str]) -> Root:
    """Return `root` with all settings applied; raises SettingsError naming the path and what it could have been."""
    tree: Tree = {}
    for setting in settings:
        _plant(tree, setting)
    changed: Root = _change(root, tree, path="")
    return changed


def _plant(tree: Tree, setting: str) -> None:
    """Put one setting into the tree of all of them."""
    path, equals, value = setting.partition("=")
    *parents, last = path.strip().split(".")
    if not equals or not all((*parents, last)):
        raise SettingsError(f"a setting reads path=value, as in model.depth=6; found '{setting}'")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"setting '{setting}': '{parent}' is set as a whole and in parts")
    if isinstance(tree.get(last), dict):
        raise SettingsError(f"setting '{setting}': '{last}' is set as a whole and in parts")
    tree[last] = value.strip()


def _change(node: Any, tree: Tree, *, path: str) -> Any:  # noqa: ANN401 - a node is whatever the recipe is made of
    """Return `node` with the settings below it applied."""
    if not tree:
        return node
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return _change_dataclass(node, tree, path=path)
    if isinstance(node, Mapping):
        return {**node, **_changed_parts(dict(node), tree, path=path)}
    if isinstance(node, tuple) and all(map(_element_name, node)):
        parts = {_element_name(element): element for element in node}
        return tuple({**parts, **_changed_parts(parts, tree, path=path)}.values())
    raise SettingsError(f"'{path}' is one value, {node!r}; it has no part '{next(iter(tree))}' to set")


def _change_dataclass(node: Any, tree: Tree, *, path: str) -> Any:  # noqa: ANN401 - any dataclass
    parts = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    changed = _changed_parts(parts, tree, path=path, types_of_parts=get_type_hints(type(node), include_extras=True))
    try:
        return dataclasses.replace(node, **changed)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _changed_parts(
    parts: Mapping[str, Any], tree: Tree, *, path: str, types_of_parts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the parts that the tree changes, changed."""
    changed = {}
    for name, below in tree.items():
        full = f"{path}.{name}" if path else name
        if name not in parts:
            raise SettingsError(_unknown(full, path=path, options=parts))
        if isinstance(below, dict):
            changed[name] = _change(parts[name], below, path=full)
        else:
            changed[name] = _parse_part(parts[name], below, path=full, type_of_part=(types_of_parts or {}).get(name))
    return changed


def _parse_part(part: Any, text: str, *, path: str, type_of_part: Any) -> Any:  # noqa: ANN401 - types are values here
    try:
        reader = _reader(type_of_part)
    except TypeError:
        inside = ", ".join(f"{path}.{name}" for name in _names_inside(part))
        hint = f"set one of its parts: {inside}" if inside else "it is chosen in the recipe's file"
        raise SettingsError(f"'{path}' cannot be set as a whole; {hint}") from None
    try:
        return reader(text)
    except ValueError:
        raise SettingsError(f"'{path}' takes {_describe(type_of_part)}; found '{text}'") from None


def _reader(kind: Any) -> Callable[[str], Any]:  # noqa: ANN401 - types are values here
    """Return the function that reads a value of type `kind` from text; raises TypeError if text cannot say one."""
    simple: dict[Any, Callable[[str], Any]] = {int: int, float: _finite, str: str, bool: _truth, type(None): _nothing}
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated_reader(kind)
    if origin is Literal:
        return lambda text: _one_of(text, arguments)
    if origin in (Union, types.UnionType):
        readers = [_reader(argument) for argument in sorted(arguments, key=lambda kind: kind is str)]
        return lambda text: _first_that_reads(text, readers)
    if origin is tuple:
        for argument in arguments:
            if argument is not Ellipsis:
                _reader(argument)  # refused now, not when the first value is read
        return lambda text: _read_tuple(text, arguments)
    raise TypeError(kind)


def _annotated_reader(kind: Any) -> Callable[[str], Any]:  # noqa: ANN401 - types are values here
    """Return the function that an annotation names; raises TypeError if none does."""
    readers = [note.reader for note in kind.__metadata__ if isinstance(note, ReadBy)]
    return readers[0] if readers else _reader(get_args(kind)[0])


def _read_tuple(text: str, kinds: Sequence[Any]) -> tuple[Any, ...]:
    words = [word.strip() for word in text.split(",")]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = [kinds[0]] * len(words)
    return tuple(_reader(kind)(word) for kind, word in zip(kinds, words, strict=True))


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _truth(text: str) -> bool:
    return bool(_one_of(text.lower(), ("false", "true")) == "true")


def _nothing(text: str) -> None:
    _one_of(text.lower(), ("none",))


def _one_of(text: str, options: Iterable[Any]) -> Any:  # noqa: ANN401 - options are literals of any type
    for option in options:
        if text == str(option):
            return option
    raise ValueError(text)


def _first_that_reads(text: str, readers: Iterable[Callable[[str], Any]]) -> Any:  # noqa: ANN401 - of any type
    for reader in readers:
        try:
            return reader(text)
        except ValueError:
            continue
    raise ValueError(text)


def _describe(kind: Any) -> str:  # noqa: ANN401 - types are values here
    """Return what a value of type `kind` is, in words."""
    words = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", type(None): "none"}
    if kind in words:
        return words[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple and Ellipsis not in arguments:
        return f"{len(arguments)} values with commas between them: " + ", ".join(map(_describe, arguments))
    if origin is tuple:
        return f"values with commas between them, each {_describe(arguments[0])}"
    return " or ".join(map(_describe, arguments))


def _unknown(full: str, *, path: str, options: Iterable[str]) -> str:
    paths = [f"{path}.{name}" if path else name for name in options]
    return f"there is no setting '{full}'; there is {', '.join(paths) or 'nothing to set'}.{did_you_mean(full, paths)}"


def _element_name(element: Any) -> str:  # noqa: ANN401 - any element of any slot
    return next((str(getattr(element, name)) for name in NAMING_FIELDS if hasattr(element, name)), "")


def _names_inside(part: Any) -> list[str]:  # noqa: ANN401 - any slot
    if dataclasses.is_dataclass(part):
        return [field.name for field in dataclasses.fields(part)]
    if isinstance(part, Mapping):
        return list(part)
    return [_element_name(element) for element in part] if isinstance(part, tuple) else []
