"""What is compared before a run begins: the slots of a recipe with each other, with its datasets and stored targets."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from pipelines.component import Component
from pipelines.fitting import require_same_stored
from pipelines.masking.language import MaskedLanguage
from pipelines.masking.plan import MaskContext, stored_of_masking
from pipelines.masking.separate import plans_of
from pipelines.masking.spans import Sentinels
from pipelines.modalities import Stored, Text
from pipelines.randomness import Draws
from pipelines.views import ViewSet
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError, did_you_mean
from shards.target_table import TargetSpec, TargetTable
from trainers.nn.network import Network
from trainers.reads import stored_reads, targets_command
from trainers.recipe import Architecture, Recipe, Target


@runtime_checkable
class PredictsIds(Protocol):
    """A target that is one of so many ids."""

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        ...


@runtime_checkable
class TakesAbsent(Protocol):
    """An architecture that says whether samples may lack some of its modalities."""

    @property
    def takes_absent(self) -> bool:
        """Whether they may."""
        ...


@runtime_checkable
class PredictsVectors(Protocol):
    """A target whose width can be set."""

    @property
    def width(self) -> int:
        """Values of a vector."""
        ...


def check(recipe: Recipe, components: Sequence[Component]) -> None:
    """Compare a recipe with the datasets it is to learn from, and build its network without memory.

    The components bring the stored targets that it reads, by their names in the recipe; see `trainers.stored.open_stored`.

    Raises:
        MissingFieldError: a modality reads a field that the dataset, or some of its samples, do not hold.
        SettingsError: slots do not fit each other, the dataset or a stored target: sizes, widths, ratios, batch; or what
            several datasets store under one name means different things.
    """
    require_same_stored(components)
    _check_fields(recipe, [component.dataset for component in components])
    for component in components:
        for target in recipe.targets:
            if target.stored is not None:
                _check_stored(recipe, target, component.stored[target.stored], component.dataset)
        _check_views(recipe, component.stored)
    _check_batch(recipe, [component.dataset for component in components])
    check_words(recipe)
    _check_masking(recipe, components[0].stored)
    recipe.goals({})
    with torch.device("meta"):
        network = recipe.model.build(recipe.modalities, outputs=recipe.outputs())
    _check_terms(recipe, network)


def _check_fields(recipe: Recipe, datasets: Sequence[Dataset]) -> None:
    """Every sample has to have all that is read, or at least some of it if the architecture takes what is there."""
    fields = [modality.field for modality in recipe.modalities if not isinstance(modality, Stored)]
    if not takes_absent(recipe.model) or len(fields) == 1:
        for dataset in datasets:
            for field in fields:
                _check_field(recipe, field, dataset)
        return
    for field in fields:
        if not any(dataset.num_with(field) for dataset in datasets if field in dataset.manifest.fields):
            # Nothing would ever be learned about it.
            _check_field(recipe, field, datasets[0])


def takes_absent(model: Architecture) -> bool:
    """Tell whether an architecture can be shown samples that lack some of its modalities."""
    return isinstance(model, TakesAbsent) and model.takes_absent


def _check_field(recipe: Recipe, field: str, dataset: Dataset) -> None:
    held = dataset.manifest.fields
    if field not in held:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{field}', but {dataset.root} holds only "
            f"{', '.join(sorted(held)) or 'no field at all'}.{did_you_mean(field, held)} "
            "Ingest a source that has it, or choose another recipe."
        )
    missing = dataset.num_samples - dataset.num_with(field)
    if missing or not dataset.num_samples:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{field}' of every sample, but {missing} of the "
            f"{dataset.num_samples} samples of {dataset.root} do not have it. Ingest them without the incomplete ones."
        )


def _check_batch(recipe: Recipe, datasets: Sequence[Dataset]) -> None:
    """A step that takes more samples than there are would take some of them twice."""
    held = sum(dataset.num_samples for dataset in datasets)
    if recipe.training.batch > held:
        roots = " and ".join(str(dataset.root) for dataset in datasets)
        raise SettingsError(
            f"recipe '{recipe.name}' takes {recipe.training.batch} samples per step, but {roots} holds only {held}. "
            f"Give --batch {2 ** (held.bit_length() - 1)}, or any number up to {held}."
        )


def _check_stored(recipe: Recipe, target: Target, table: TargetTable, dataset: Dataset) -> None:
    modality, spec = recipe.modality(target.modality), table.spec
    _check_ids(recipe, target, spec)
    wanted, size = target.stored_shape(modality), ViewSet.from_json(spec.views).size
    is_other_size = recipe.picture_size not in (0, size)  # a recipe without pictures replays views of any size
    if spec.shape == wanted and not is_other_size:
        return
    remedy = (
        _other_grid(recipe, target, spec, dataset)
        if is_other_size or spec.shape[:-1] != wanted[:-1] or not isinstance(target, PredictsVectors)
        else f"Give --set targets.{target.name}.width={spec.shape[-1]}, or name another one with "
        f"--set targets.{target.name}.table=ID."
    )
    raise SettingsError(
        f"recipe '{recipe.name}' needs '{target.name}' as {_shape(wanted)} values on pictures of {recipe.picture_size} "
        f"pixels, but {spec.target_id} of {dataset.root} holds {_shape(spec.shape)} values on pictures of {size} "
        f"pixels. {remedy}"
    )


def _check_ids(recipe: Recipe, target: Target, spec: TargetSpec) -> None:
    """Ids are predicted as ids, from a vocabulary of the right size, and numbers as numbers."""
    if isinstance(target, PredictsIds) != spec.coding.holds_ids:
        kinds = ("token ids", "numbers")
        wanted, held = kinds if isinstance(target, PredictsIds) else reversed(kinds)
        raise SettingsError(
            f"recipe '{recipe.name}' predicts '{target.name}' as {wanted}, but {spec.target_id} holds {held}. Name another "
            f"stored target with --set targets.{target.name}.table=ID."
        )
    if isinstance(target, PredictsIds) and spec.vocabulary not in (None, target.vocabulary):
        raise SettingsError(
            f"recipe '{recipe.name}' predicts '{target.name}' as one of {target.vocabulary} ids, but {spec.target_id} was "
            f"stored by a tokenizer of {spec.vocabulary}. Give --set targets.{target.name}.vocabulary={spec.vocabulary}."
        )


def _other_grid(recipe: Recipe, target: Target, spec: TargetSpec, dataset: Dataset) -> str:
    """Return what to do about a stored target for other pictures or patches."""
    read = next(read for read in stored_reads(recipe) if read.reference.name == target.stored)
    path = f"modalities.{target.modality}"
    return (
        f"Store it for these: `{targets_command(recipe, read, dataset.root)}`; or train at the size it was stored for, "
        f"with --set {path}.size={ViewSet.from_json(spec.views).size} and --set {path}.patch=N."
    )


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "single"


def _check_views(recipe: Recipe, stored: Mapping[str, TargetTable]) -> None:
    """Several stored targets can be replayed together only if they were computed on the same views."""
    specs = [stored[name].spec for name in recipe.stored_targets()]
    if len({json.dumps(spec.views, sort_keys=True) for spec in specs}) > 1:
        raise SettingsError(
            f"recipe '{recipe.name}' reads {', '.join(spec.target_id for spec in specs)}, which were stored for "
            "different views of the pictures. Store them for the same views, or compute all but one while training."
        )


def _check_masking(recipe: Recipe, tables: Mapping[str, TargetTable]) -> None:
    """Every modality has to show something, and to ask for something if a target is predicted of its hidden tokens."""
    maskings = recipe.masking.values() if isinstance(recipe.masking, Mapping) else (recipe.masking,)
    stored = {name: _ones(tables[name]) for masking in maskings for name in stored_of_masking(masking)}
    inputs = {
        modality.name: torch.full((1, modality.num_tokens), modality.tokenizer.padding_id)
        for modality in recipe.modalities
        if isinstance(modality, Text)
    }
    draws = Draws.of(("check",), epochs=(0,), seed=0)
    context = MaskContext(draws=draws, inputs=inputs, stored=stored, lengths={})
    plans = plans_of(recipe.masking, context, recipe.modalities)
    asked = {target.modality for target in recipe.targets if target.places == "target"}
    for modality in recipe.modalities if isinstance(recipe.masking, Mapping) else ():
        visible, target = plans[modality.name].visible.shape[1], plans[modality.name].target.shape[1]
        if not visible or (not target and modality.name in asked):
            raise SettingsError(
                f"masking '{modality.name}' leaves {visible} of {modality.num_tokens} tokens visible and predicts "
                f"{target}; at least one of each is needed. Change masking.{modality.name} or the size of the patches."
            )


def _check_terms(recipe: Recipe, network: Network) -> None:
    """Every term has to find in the predictions what it reads."""
    predicted = {*(target.name for target in recipe.targets), *network.reports}
    for term in recipe.objective:
        for name in term.reads:
            if name not in predicted:
                raise SettingsError(
                    f"recipe '{recipe.name}': the term '{term.name}' reads '{name}', which its network does not predict; it "
                    f"predicts {', '.join(sorted(predicted))}.{did_you_mean(name, predicted)}"
                )


def check_words(recipe: Recipe) -> None:
    """Ids that a masking puts into a text have to be those of its tokenizer."""
    for modality in recipe.modalities:
        if isinstance(modality, Text):
            masking = recipe.masking.get(modality.name) if isinstance(recipe.masking, Mapping) else recipe.masking
            path = f"masking.{modality.name}" if isinstance(recipe.masking, Mapping) else "masking"
            _require_own_mask(recipe, modality, masking, path)
            _require_own_sentinels(recipe, modality, masking, path)


def _require_own_mask(recipe: Recipe, text: Text, masking: object, path: str) -> None:
    if not isinstance(masking, MaskedLanguage):
        return
    vocabulary, mask = text.tokenizer.vocabulary, getattr(text.tokenizer, "mask_id", masking.mask_id)
    if masking.vocabulary != vocabulary or masking.mask_id != mask:
        raise SettingsError(
            f"recipe '{recipe.name}': '{path}' draws from {masking.vocabulary} ids and masks with {masking.mask_id}, but the "
            f"tokenizer of '{text.name}' has {vocabulary} ids and the mask {mask}. Give --set {path}.vocabulary={vocabulary} "
            f"--set {path}.mask_id={mask}, and {path}.special the ids of its marks."
        )


def _require_own_sentinels(recipe: Recipe, text: Text, masking: object, path: str) -> None:
    sentinels = getattr(masking, "sentinels", None)
    if not isinstance(sentinels, Sentinels):
        return
    own = list(getattr(text.tokenizer, "sentinel_ids", ()))
    if not own or list(range(sentinels.first, sentinels.first + sentinels.count)) != own:
        found = f"{len(own)} from {own[0]} on" if own else "none; learn one with `maskloom tokenizer --sentinels 100`"
        raise SettingsError(
            f"recipe '{recipe.name}': '{path}' has {sentinels.count} sentinels from id {sentinels.first} on, but the tokenizer "
            f"of '{text.name}' has {found}. Give --set {path}.sentinels.first=ID --set {path}.sentinels.count=N as it has them."
        )


def _ones(table: TargetTable) -> torch.Tensor:
    """Return one row of a stored target, made up."""
    return torch.from_numpy(np.ones((1, *table.spec.stored_shape), dtype=table.spec.dtype))
