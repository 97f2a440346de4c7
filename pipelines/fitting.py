"""Whether the parts of a stream fit together, found out before anything is read."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from pipelines.component import Component
from pipelines.modalities import Decoded, Features, Image, LogMel, Modality, Stored, Tokens, Waveform
from pipelines.packing import FactLength
from pipelines.views import ViewSet, ViewSource
from shards.dataset import Dataset
from shards.errors import MissingFieldError, MissingTargetError, SettingsError, did_you_mean
from shards.schema import KINDS
from shards.target_spec import TargetSpec
from shards.target_table import TargetTable


def require_distinct(names: Sequence[str]) -> None:
    """Raise SettingsError unless there is a modality, and each has a name of its own."""
    if not names:
        raise SettingsError("A stream needs at least one modality; none was given.")
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"Several modalities have the name '{name}'; give each a name of its own.")


def require_known_maskings(maskings: Mapping[str, Any], modalities: Sequence[Modality]) -> None:
    """Raise SettingsError if there is a masking for a modality that does not exist."""
    names = [modality.name for modality in modalities]
    for name in maskings:
        if name not in names:
            raise SettingsError(
                f"There is a masking for '{name}', but the modalities are {', '.join(names)}.{did_you_mean(name, names)}"
            )


def require_pictures(names: frozenset[str], modalities: Sequence[Modality]) -> None:
    """Raise SettingsError unless all that should be decoded on the device are pictures."""
    pictures = [modality.name for modality in modalities if isinstance(modality, Image)]
    for name in sorted(names):
        if name not in pictures:
            raise SettingsError(
                f"'{name}' should be decoded on the device, but the pictures of the stream are "
                f"{', '.join(pictures) or 'none'}; nothing else can be.{did_you_mean(name, pictures)}"
            )


def require_look(modality: Modality, looks: Sequence[ViewSource]) -> None:
    """Raise SettingsError unless the look of a modality exists and has pictures of its size."""
    if not 0 <= modality.look < len(looks):
        raise SettingsError(
            f"The modality '{modality.name}' shows look {modality.look}, but there are views for looks 0..{len(looks) - 1}."
        )
    size = getattr(modality, "size", None)
    if size is not None and size != looks[modality.look].size:
        raise SettingsError(
            f"The modality '{modality.name}' takes pictures of {size} pixels, but the views have "
            f"{looks[modality.look].size}."
        )


def require_held(modality: Modality, components: Sequence[Component]) -> None:
    """Raise unless some dataset holds what a modality shows.

    Raises:
        MissingTargetError: No dataset brings the stored target.
        MissingFieldError: No dataset holds the field.
    """
    if isinstance(modality, Stored):
        stored = {name for component in components for name in component.stored}
        if modality.stored not in stored:
            raise MissingTargetError(
                f"The modality '{modality.name}' reads the stored target '{modality.stored}', but the stream was given "
                f"{', '.join(sorted(stored)) or 'none'}.{did_you_mean(modality.stored, stored)}"
            )
        return
    held = {name for component in components for name in component.dataset.manifest.fields}
    if modality.field not in held:
        raise MissingFieldError(
            f"A modality reads the field '{modality.field}', but {_roots(components)} holds only "
            f"{', '.join(sorted(held))}.{did_you_mean(modality.field, held)}"
        )


def require_shown(modality: Decoded, modalities: Sequence[Modality], components: Sequence[Component]) -> None:
    """Raise MissingFieldError if there is nothing but one modality to show, and some samples do not have it."""
    for component in components:
        dataset = component.dataset
        shown = [other for other in modalities if isinstance(other, Stored) or _holds(dataset, other.field)]
        lacking = dataset.num_samples - dataset.num_with(modality.field)
        if shown == [modality] and lacking:
            raise MissingFieldError(
                f"A stream of '{modality.field}' alone was asked for, but {lacking:,} of the {dataset.num_samples:,} samples "
                f"of {dataset.root} do not have it. Ingest with --require {modality.field}, or stream something else beside it."
            )


def require_same_settings(modality: Decoded, components: Sequence[Component]) -> None:
    """Raise SettingsError if datasets of a mixture hold sound of different rates, or features of different kinds."""
    name, part = ("logmel", None) if isinstance(modality, LogMel) else ("audio", "rate")
    if not isinstance(modality, LogMel | Waveform):
        return
    found: dict[str, Any] = {}
    for component in components:
        settings = component.dataset.manifest.settings.get(name)
        if _holds(component.dataset, modality.field) and isinstance(settings, Mapping):
            found[component.name] = settings.get(part) if part else settings
    for other, settings in found.items():
        first, expected = next(iter(found.items()))
        if settings != expected:
            raise SettingsError(
                f"The '{modality.field}' of '{first}' and of '{other}' cannot be mixed: the first has {name} {expected}, the "
                f"second {settings}. Ingest one of them again with the settings of the other."
            )


def require_same_stored(components: Sequence[Component]) -> None:
    """Raise unless all datasets bring the same stored targets.

    Raises:
        MissingTargetError: A dataset lacks one.
        SettingsError: What is stored under a name means different things in two datasets: it was made by another teacher
            or other weights, is coded otherwise, in components of its own, or shows other views.
        CorruptShardError: The projection of a target is missing or damaged.
    """
    first = components[0]
    for component in components[1:]:
        for name in {*first.stored, *component.stored}:
            if name not in first.stored or name not in component.stored:
                lacking = component if name in first.stored else first
                raise MissingTargetError(
                    f"The dataset '{lacking.name}' of the mixture brings no stored target '{name}', as another one does. "
                    f"Make it with `maskloom targets {lacking.dataset.root}`."
                )
            _require_same_values(name, first, component)


def _require_same_values(name: str, first: Component, other: Component) -> None:
    """Raise SettingsError unless a stored target means the same in two datasets."""
    ours, theirs = first.stored[name], other.stored[name]
    mine, others = _meaning(ours.spec), _meaning(theirs.spec)
    differ = [
        f"{part} is {mine.get(part)} there, {others.get(part)} here"
        for part in dict.fromkeys((*mine, *others))
        if mine.get(part) != others.get(part)
    ]
    if differ:
        raise SettingsError(
            f"The stored target '{name}' cannot be mixed: it is {ours.spec.target_id} in '{first.name}', and "
            f"{theirs.spec.target_id} in '{other.name}'. {'; '.join(differ)}. Make one of them as the other was made."
        )
    directions, others_directions = ours.projection, theirs.projection
    if directions is None or others_directions is None:  # both are, as their coding is the same
        return
    if not np.array_equal(directions, others_directions):
        raise SettingsError(
            f"The stored target '{name}' cannot be mixed: {ours.spec.target_id} in '{first.name}' and "
            f"{theirs.spec.target_id} in '{other.name}' are principal components, each in directions of its own. "
            "Store both as int8 or float16."
        )


def _meaning(spec: TargetSpec) -> dict[str, Any]:
    """Return what decides the meaning of stored values, part by part.

    Which target another one was computed from goes by an id that its dataset alone has, and is left out.
    """
    is_derived = "target" in spec.looks_at
    settings = {f"the setting {key}": value for key, value in spec.teacher_settings.items()}
    if is_derived:
        settings.pop("the setting target", None)
    return {
        "the teacher": spec.teacher,
        **settings,
        "weights_sha256": spec.weights_sha256,
        "the shape": tuple(spec.shape),
        "the coding": str(spec.coding),
        "the vocabulary": spec.vocabulary,
        "the views": dict(spec.views),
        "what it looks at": "a stored target" if is_derived else dict(spec.looks_at),
    }


def require_stored(modality: Stored, table: TargetTable, looks: Sequence[ViewSource]) -> None:
    """Raise SettingsError unless a stored target holds what a modality shows, of the views that are looked at."""
    if isinstance(modality, Tokens):
        _require_ids(modality, table)
    else:
        _require_features(modality, table)
    if looks[modality.look] != ViewSet.from_json(table.spec.views):
        raise SettingsError(
            f"The values of '{modality.name}' show look {modality.look}, whose views are {looks[modality.look]}, but the "
            f"stored target '{modality.stored}' was computed on others. Give that look ViewSet.from_json(table.spec.views)."
        )


def _require_features(features: Features, table: TargetTable) -> None:
    spec, wanted = table.spec, (features.num_tokens, features.dim)
    if spec.coding.holds_ids or tuple(spec.shape) != wanted:
        raise SettingsError(
            f"The features '{features.name}' are {features.dim} values at {features.num_tokens} places of the grid "
            f"{features.grid}, but the stored target '{features.stored}' holds {spec.coding} {tuple(spec.shape)}."
        )


def _require_ids(tokens: Tokens, table: TargetTable) -> None:
    spec = table.spec
    if not np.issubdtype(np.dtype(spec.dtype), np.integer) or prod(spec.shape) != tokens.num_tokens:
        raise SettingsError(
            f"The tokens '{tokens.name}' are {tokens.num_tokens} ids on the grid {tokens.grid}, but the stored target "
            f"'{tokens.stored}' holds {spec.dtype} {tuple(spec.shape)}."
        )
    if spec.vocabulary not in (None, tokens.vocabulary):
        raise SettingsError(
            f"The tokens '{tokens.name}' are ids of a vocabulary of {tokens.vocabulary}, but '{tokens.stored}' was stored by a "
            f"tokenizer of {spec.vocabulary}. Give the modality vocabulary={spec.vocabulary}."
        )


def require_length(name: str, length: FactLength, components: Sequence[Component]) -> None:
    """Raise MissingFieldError unless a length is that of a fact which the index of some dataset keeps."""
    field, _, fact = length.column.rpartition(".")
    kinds = {name: kind for component in components for name, kind in component.dataset.manifest.kinds.items()}
    columns = [f"{held}.{kept}" for held, kind in kinds.items() for kept in KINDS[kind].facts]
    if field not in kinds or fact not in KINDS[kinds[field]].facts:
        raise MissingFieldError(
            f"The length '{name}' counts '{length.column}', which no index of {_roots(components)} keeps."
            f"{did_you_mean(length.column, columns)}"
        )


def _holds(dataset: Dataset, field: str) -> bool:
    return field in dataset.manifest.fields


def _roots(components: Sequence[Component]) -> str:
    return ", ".join(str(component.dataset.root) for component in components)
