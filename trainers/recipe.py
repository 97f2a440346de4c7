"""Recipe: one experiment as five slots (modalities, masking, targets, model, objective), plus views and training.

A recipe is a frozen tree of dataclasses. Nothing in it repeats what another slot says: the side of the pictures and of
the patches stands in the modality alone, and views, targets, positions and heads are derived from it.

What a training loop needs of it:

    check(recipe, components)                                   # before a GPU is touched
    network = recipe.network(seed=seed)                         # Network: forward(inputs, plans), encode(inputs), pool
    wanted_from = recipe.wanted()                               # Batch -> {target name: [batch, target, dim]}
    predictions = network(batch.inputs, batch.plans)            # {target name: [batch, target, dim]}
    total, terms = recipe.loss(predictions, wanted_from(batch))
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.batch import Batch
from pipelines.component import Component
from pipelines.masking.plan import MaskContext, Masking
from pipelines.modalities import Image
from pipelines.randomness import Draws
from pipelines.views import ViewPolicy, ViewSet
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError, did_you_mean
from shards.target_table import TargetTable
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Network


@runtime_checkable
class Views(Protocol):
    """A view policy that does not know the side of the picture yet."""

    def policy(self, size: int) -> ViewPolicy:
        """Return the policy for pictures of `size` x `size` pixels."""
        ...


@runtime_checkable
class Target(Protocol):
    """What is predicted at the target tokens of one modality."""

    @property
    def name(self) -> str:
        """The name under which predictions, losses and settings refer to this target."""
        ...

    @property
    def modality(self) -> str:
        """The field of the modality whose tokens are predicted."""
        ...

    @property
    def stored(self) -> str | None:
        """The stored target that is read from the dataset, or None when the target is computed from the batch."""
        ...

    def dim(self, modality: Image) -> int:
        """Return the number of values predicted for each token."""
        ...

    def build(self, modality: Image) -> Callable[[Batch], Tensor]:
        """Return the function from a batch to float32 [batch, tokens, dim], for all tokens of the modality."""
        ...


@runtime_checkable
class Architecture(Protocol):
    """The description of a network; `build` makes the module."""

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, int]) -> Network:
        """Return a freshly initialised network that predicts `outputs[name]` values per token for every target."""
        ...


@dataclass(frozen=True, kw_only=True)
class Term:
    """One weighted term of the objective: `weight * loss(predicted, wanted)` on one target."""

    target: str
    loss: Callable[[Tensor, Tensor], Tensor]
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the paper chooses about the optimisation; AdamW, linear warm-up, then half a cosine down to `min_lr`.

    `base_lr` is per 256 samples of the global batch. `clip_norm` is the largest allowed norm of the gradient of all
    parameters together; None leaves gradients as they are. `weight_decay` acts on the weights of linear layers.
    """

    batch: int
    epochs: int
    warmup_epochs: int
    base_lr: float
    min_lr: float
    betas: tuple[float, float]
    weight_decay: float
    clip_norm: float | None

    def __post_init__(self) -> None:
        positive = {"batch": self.batch, "epochs": self.epochs, "base_lr": self.base_lr, "clip_norm": self.clip_norm}
        not_negative = {"warmup_epochs": self.warmup_epochs, "min_lr": self.min_lr, "weight_decay": self.weight_decay}
        for name, value in (positive | not_negative).items():
            if value is not None and (value < 0 or (name in positive and value == 0)):
                raise SettingsError(
                    f"training.{name} is {value}; it has to be {'above' if name in positive else 'at least'} 0"
                )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One experiment, complete and immutable.

    `paper` is the arXiv identifier, as `arXiv:2111.06377`. `masking` maps the name of each modality to its masking.
    Construction raises SettingsError when a slot refers to something another slot does not have.
    """

    name: str
    paper: str
    modalities: tuple[Image, ...]
    views: Views
    masking: Mapping[str, Masking]
    targets: tuple[Target, ...]
    model: Architecture
    objective: tuple[Term, ...]
    training: Training

    def __post_init__(self) -> None:
        modalities = [modality.name for modality in self.modalities]
        names = [target.name for target in self.targets]
        _require_known(self.name, "masking", self.masking, "modality", modalities)
        _require_known(self.name, "modality", modalities, "masking", self.masking)
        _require_known(self.name, "target", (target.modality for target in self.targets), "modality", modalities)
        _require_known(self.name, "term", (term.target for term in self.objective), "target", names)
        _require_known(self.name, "target", names, "term", [term.target for term in self.objective])

    def modality(self, name: str) -> Image:
        """Return the modality called `name`; raises KeyError if there is none."""
        return {modality.name: modality for modality in self.modalities}[name]

    def view_policy(self) -> ViewPolicy:
        """Return the fresh views of this recipe, at the size of its picture modality.

        Not to be used when `stored_targets()` names any: those were computed on recorded views, which are replayed.
        """
        return self.views.policy(self.modalities[0].size)

    def stored_targets(self) -> tuple[str, ...]:
        """Return the names of the stored targets that batches must carry in `Batch.stored`."""
        return tuple(target.stored for target in self.targets if target.stored is not None)

    def outputs(self) -> dict[str, int]:
        """Return the number of predicted values per token, by target."""
        return {target.name: target.dim(self.modality(target.modality)) for target in self.targets}

    def network(self, *, seed: int) -> Network:
        """Return the network on the CPU, initialised from `seed` alone; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.model.build(self.modalities, outputs=self.outputs())

    def wanted(self) -> Callable[[Batch], dict[str, Tensor]]:
        """Return the function from a batch to what should be predicted: float32 [batch, target, dim] by target."""
        functions = [(target, target.build(self.modality(target.modality))) for target in self.targets]

        def wanted(batch: Batch) -> dict[str, Tensor]:
            chosen = {}
            for target, function in functions:
                index = batch.plans[target.modality].target
                # Gradient histograms and variances lose their meaning in bfloat16.
                with torch.no_grad(), torch.autocast(index.device.type, enabled=False):
                    chosen[target.name] = gather_tokens(function(batch).float(), index)
            return chosen

        return wanted

    def loss(
        self, predictions: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the terms, and each term before weighting, by target."""
        terms = {term.target: term.loss(predictions[term.target], wanted[term.target]) for term in self.objective}
        total = torch.stack([term.weight * terms[term.target] for term in self.objective]).sum()
        return total, terms


def check(recipe: Recipe, components: Sequence[Component]) -> None:
    """Compare a recipe with the datasets it is to learn from, and build its network without memory.

    The components bring the stored targets that it reads, by their names in the recipe; see `trainers.stored.open_stored`.

    Raises:
        MissingFieldError: a modality reads a field that the dataset, or some of its samples, do not hold.
        SettingsError: slots do not fit each other, the dataset or a stored target: sizes, widths, ratios, batch.
    """
    for component in components:
        for modality in recipe.modalities:
            _check_field(recipe, modality, component.dataset)
        for target in recipe.targets:
            if target.stored is not None:
                _check_stored(recipe, target, component.stored[target.stored], component.dataset)
        _check_views(recipe, component.stored)
    _check_batch(recipe, [component.dataset for component in components])
    for field, masking in recipe.masking.items():
        _check_masking(masking, recipe.modality(field))
    recipe.wanted()
    with torch.device("meta"):
        recipe.model.build(recipe.modalities, outputs=recipe.outputs())


def _check_field(recipe: Recipe, modality: Image, dataset: Dataset) -> None:
    held = dataset.manifest.fields
    if modality.field not in held:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{modality.field}', but {dataset.root} holds only "
            f"{', '.join(sorted(held)) or 'no field at all'}.{did_you_mean(modality.field, held)} "
            "Ingest a source that has it, or choose another recipe."
        )
    missing = dataset.num_samples - dataset.num_with(modality.field)
    if missing or not dataset.num_samples:
        raise MissingFieldError(
            f"recipe '{recipe.name}' reads field '{modality.field}' of every sample, but {missing} of the "
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
    wanted = (modality.num_tokens, target.dim(modality))
    views = ViewSet.from_json(spec.views)
    if spec.shape != wanted or views.size != modality.size:
        raise SettingsError(
            f"recipe '{recipe.name}' needs '{target.name}' as {wanted[0]} tokens of {wanted[1]} values, on pictures of "
            f"{modality.size} pixels in patches of {modality.patch}, but {spec.target_id} of {dataset.root} holds "
            f"{' x '.join(map(str, spec.shape))} on pictures of {views.size} pixels. Store it for this size, or train "
            "at the size it was stored for."
        )


def _check_views(recipe: Recipe, stored: Mapping[str, TargetTable]) -> None:
    """Several stored targets can be replayed together only if they were computed on the same views."""
    specs = [stored[name].spec for name in recipe.stored_targets()]
    if len({json.dumps(spec.views, sort_keys=True) for spec in specs}) > 1:
        raise SettingsError(
            f"recipe '{recipe.name}' reads {', '.join(spec.target_id for spec in specs)}, which were stored for "
            "different views of the pictures. Store them for the same views, or compute all but one while training."
        )


def _check_masking(masking: Masking, modality: Image) -> None:
    draws = Draws.of(("check",), epochs=(0,), seed=0)
    plan = masking.plan(MaskContext(draws=draws, inputs={}, stored={}, lengths={}), modality=modality)
    visible, target = plan.visible.shape[1], plan.target.shape[1]
    if not visible or not target:
        raise SettingsError(
            f"masking '{modality.name}' leaves {visible} of {modality.num_tokens} tokens visible and predicts "
            f"{target}; at least one of each is needed. Change masking.{modality.name} or the size of the patches."
        )


def _require_known(recipe: str, what: str, names: Iterable[str], kind: str, options: Iterable[str]) -> None:
    """Raise SettingsError unless every name of slot `what` is also one of slot `kind`."""
    known = list(options)
    for name in names:
        if name not in known:
            raise SettingsError(
                f"recipe '{recipe}': the {what} '{name}' has no {kind} '{name}'; there is {', '.join(known) or 'none'}."
                f"{did_you_mean(name, known)}"
            )
