"""Shapes are checked in every function that names some; to look for them in all others is most of what such tests cost."""

import inspect
from collections.abc import Callable
from typing import Any, ForwardRef, TypeVar, get_args

import jaxtyping
from jaxtyping import AbstractArray

Decorated = TypeVar("Decorated")
everywhere = jaxtyping.jaxtyped


def may_name_a_shape(hint: object) -> bool:
    """Tell whether a type is that of a tensor with a shape, is made of such types, or is not known yet."""
    if isinstance(hint, str | ForwardRef):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(may_name_a_shape, parts))


def where_shapes_are(*, typechecker: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """Return the decorator that jaxtyping puts on all functions and classes; without shapes, it leaves types to beartype."""

    def decorate(decorated: Decorated) -> Decorated:
        plain = inspect.isfunction(decorated) and not any(map(may_name_a_shape, decorated.__annotations__.values()))
        checked: Decorated = (typechecker if plain else everywhere(typechecker=typechecker))(decorated)
        return checked

    return decorate


jaxtyping.jaxtyped = where_shapes_are
