"""Stored targets in words: who said what about which views, how it is stored, and how far it is from the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.inspect import wording
from shards.dataset import Dataset
from shards.errors import DatasetError, MaskloomError
from shards.target_spec import SealedTarget, TargetSpec
from shards.target_table import read_sealed

_MOST_WORDS, _MOST_DIGITS = 400, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A sealed target: what was sealed, or what is wrong with it, and in words what it is."""

    target_id: str
    sealed: SealedTarget | None
    problem: str
    facts: tuple[tuple[str, str], ...]


def list_targets(dataset: Dataset) -> list[Listed]:
    """Return the sealed targets of a dataset; what is wrong with one is said in its place, and raises nothing.

    A server that does not list folders has none.
    """
    try:
        ids = dataset.target_ids()
    except DatasetError:
        return []
    return [_listed(dataset, target_id) for target_id in ids]


def _listed(dataset: Dataset, target_id: str) -> Listed:
    try:
        sealed = read_sealed(dataset.root, target_id)
        return Listed(target_id=target_id, sealed=sealed, problem="", facts=tuple(described(sealed).items()))
    except MaskloomError as error:
        return Listed(target_id=target_id, sealed=None, problem=str(error), facts=())
    except Exception as error:
        # Whoever wrote the dataset may have sealed what no specification can be: the list says so, and goes on.
        words = wording.clipped(f"{type(error).__name__}: {error}", _MOST_WORDS)
        return Listed(target_id=target_id, sealed=None, problem=f"Cannot be understood: {words}", facts=())


def described(sealed: SealedTarget) -> dict[str, str]:
    """Return what is sealed about a target, by what it is about."""
    spec = sealed.spec
    told = {
        "teacher": spec.teacher,
        "settings": in_words(spec.teacher_settings) or "none",
        "looks at": _looks_at(spec.looks_at),
        "views": _views(spec),
        "of each view": _of_each_view(spec),
        "stored as": f"{spec.coding}, {wording.size(spec.row_bytes)} a sample, {wording.size(sealed.num_bytes)} in all",
        "precision": spec.precision,
        "parity": _parity(sealed),
        "weights": "none" if spec.weights_sha256 is None else f"sha256 {str(spec.weights_sha256)[:_MOST_DIGITS]}",
        "blank samples": wording.fact(sealed.num_blank),
    }
    return {name: wording.clipped(str(words), _MOST_WORDS) for name, words in told.items()}


def in_words(values: Mapping[str, Any]) -> str:
    """Return names and values as they are typed."""
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _looks_at(looks_at: Mapping[str, Any]) -> str:
    if "target" in looks_at:
        return f"the target {looks_at['target']}"
    more = {name: value for name, value in looks_at.items() if name != "field"}
    return ", ".join(filter(None, [str(looks_at.get("field", "nothing known")), in_words(more)]))


def _views(spec: TargetSpec) -> str:
    """Say how many views there are, and how they are chosen."""
    parts = [_policy(part) for part in (spec.views, spec.views.get("time")) if part and part.get("policy")]
    counted = f"{spec.num_views} view{'s' if spec.num_views != 1 else ''}"
    return f"{counted}, {' and '.join(parts) or 'of everything'}, seed {spec.views['seed']}"


def _policy(data: Mapping[str, Any]) -> str:
    return f"{data['policy']}({in_words(data['parameters'])})"


def _of_each_view(spec: TargetSpec) -> str:
    kind = f"ids below {wording.fact(spec.vocabulary)}" if spec.coding.holds_ids else "numbers"
    return f"{shape_in_words(spec.shape)} {kind}"


def shape_in_words(shape: tuple[int, ...]) -> str:
    """Write a shape: 196 x 768."""
    return " x ".join(map(str, shape))


def _parity(sealed: SealedTarget) -> str:
    """Say how far what is stored is from a recomputation in float32."""
    parity = sealed.parity
    if sealed.spec.coding.holds_ids:
        return f"{100 * parity['equal_ids']:.4g} % of the ids equal"
    return f"cosine {parity['mean_cosine']:.6f} on average, {parity['worst_cosine']:.6f} at worst"
