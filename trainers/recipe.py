"""Recipe: one experiment as five slots (modalities, masking, targets, model, objective), plus views and training.

A recipe is a frozen tree of dataclasses. Nothing in it repeats what another slot says: the side of the pictures and of
the patches stands in the modality alone, and views, targets, positions and heads are derived from it.

What a training loop needs of it:

    check(recipe, components)                                   # before a GPU is touched; see `trainers.checking`
    network = recipe.network(seed=seed)                         # Network: forward(inputs, plans), encode(inputs), pool
    goals_of = recipe.goals(decoders)                           # Batch -> Goals: what is wanted of each target
    predictions = network(batch.inputs, batch.plans)            # {target name: [batch, places, dim]}, and what else terms read
    total, terms = recipe.loss(predictions, goals_of(batch))
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.masking.plan import JointMasking, Masking, MaskPlan, stored_of_masking
from pipelines.modalities import Clip, Modality, Stored
from pipelines.randomness import Draws
from pipelines.views import FreshViews
from shards.errors import SettingsError, did_you_mean
from trainers.nn.gather import gather_tokens
from trainers.nn.network import Network, Output
from trainers.nn.network import Places as Places
from trainers.terms import Goals, ObjectiveTerm, Term

Decoder = Callable[[Tensor], Tensor]
"""From the rows of a stored target as they are on disk to what its teacher said; see `pipelines.target_coding`."""


Augmentation = Callable[[Tensor, Draws], Tensor]
"""From what a batch holds of a modality and the draws of its samples to what is learned from; on the batch's device."""


@runtime_checkable
class Views(Protocol):
    """How samples are looked at, before the side of the picture and the length of the clip are known."""

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return the views to train on, with `frames` pictures of `size` x `size` pixels.

        `frames` is 0 where there is no clip, and `size` where there is no picture either.
        """
        ...

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the views to evaluate on, the same in every epoch."""
        ...


@runtime_checkable
class Target(Protocol):
    """What is predicted of one modality."""

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

    @property
    def places(self) -> Places:
        """Where it is predicted."""
        ...

    def dim(self, modality: Any) -> int:  # noqa: ANN401 - each target says of which modalities it can be
        """Return the number of values predicted for each token."""
        ...

    def stored_shape(self, modality: Any) -> tuple[int, ...]:  # noqa: ANN401
        """Return the shape of one sample's values in the stored target; only asked where `stored` names one."""
        ...

    def build(self, modality: Any) -> Callable[[Batch], Tensor]:  # noqa: ANN401
        """Return the function from a batch to what is wanted, for all tokens of the modality.

        Float32 [batch, tokens, dim], or int64 [batch, tokens, 1] for token ids; without the axis of tokens where the
        target is one of the whole sample. `Batch.stored` is decoded already.
        """
        ...


@runtime_checkable
class Architecture(Protocol):
    """The description of a network; `build` makes the module."""

    def build(self, modalities: Sequence[Any], *, outputs: Mapping[str, Output]) -> Network:
        """Return a freshly initialised network that predicts `outputs[name].dim` values at its places for every target.

        Raises:
            SettingsError: It cannot predict there, or its parts do not fit.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the paper chooses about the optimisation; AdamW, linear warm-up, then half a cosine down to `min_lr`.

    `base_lr` and `min_lr` are per 256 samples of the global batch. `clip_norm` is the largest allowed norm of the gradient of
    all parameters together; None leaves gradients as they are. `weight_decay` acts on the weights of linear layers.
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

    `paper` is the arXiv identifier, as `arXiv:2111.06377`. `masking` maps the name of each modality to its masking, or is
    one for all together; `augmentation` maps that of some to what is done with them in training alone, after they are
    rendered and masked.
    Construction raises SettingsError when a slot refers to something another slot does not have.
    """

    name: str
    paper: str
    modalities: tuple[Modality, ...]
    views: Views
    masking: Mapping[str, Masking] | JointMasking
    targets: tuple[Target, ...]
    model: Architecture
    objective: tuple[ObjectiveTerm, ...]
    training: Training
    augmentation: Mapping[str, Augmentation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        modalities = [modality.name for modality in self.modalities]
        names = [target.name for target in self.targets]
        if isinstance(self.masking, Mapping):
            _require_known(self.name, "masking", self.masking, "modality", modalities)
            _require_known(self.name, "modality", modalities, "masking", self.masking)
        _require_known(self.name, "augmentation", self.augmentation, "modality", modalities)
        _require_known(self.name, "target", (target.modality for target in self.targets), "modality", modalities)
        _require_distinct(self.name, "modalities", modalities)
        _require_distinct(self.name, "targets", names)
        _require_distinct(self.name, "terms of the objective", [term.name for term in self.objective])
        predicted = [term.target for term in self.objective if isinstance(term, Term)]
        _require_known(self.name, "term", predicted, "target", names)
        _require_known(self.name, "target", names, "term", predicted)

    def modality(self, name: str) -> Any:  # noqa: ANN401 - whichever modality it is
        """Return the modality called `name`; raises KeyError if there is none."""
        return {modality.name: modality for modality in self.modalities}[name]

    @property
    def picture_size(self) -> int:
        """Side of the pictures of this recipe in pixels; 0 where no modality has pictures."""
        return next((modality.size for modality in self.modalities if hasattr(modality, "size")), 0)

    @property
    def clip_frames(self) -> int:
        """Frames of the clips of this recipe; 0 where no modality is a clip."""
        return next((modality.frames for modality in self.modalities if isinstance(modality, Clip)), 0)

    @property
    def num_looks(self) -> int:
        """How many looks at a sample the modalities show; each has a view of its own."""
        return 1 + max(modality.look for modality in self.modalities)

    def fresh_views(self) -> FreshViews:
        """Return the views to train on, at the size of the pictures.

        Not to be used when `stored_targets()` names any: those were computed on recorded views, which are replayed.
        """
        return self.views.fresh(self.picture_size, self.clip_frames)

    def still_views(self) -> FreshViews:
        """Return the views to evaluate on."""
        return self.views.still(self.picture_size, self.clip_frames)

    def stored_targets(self) -> tuple[str, ...]:
        """Return the names of the stored targets that batches must carry in `Batch.stored`; see `trainers.reads`."""
        predicted = (target.stored for target in self.targets if target.stored is not None)
        maskings = self.masking.values() if isinstance(self.masking, Mapping) else (self.masking,)
        looked_at = (name for masking in maskings for name in stored_of_masking(masking))
        shown = (modality.stored for modality in self.modalities if isinstance(modality, Stored))
        return tuple(dict.fromkeys((*predicted, *looked_at, *shown)))

    def augmented(self, batch: Batch, *, seed: int) -> Batch:
        """Return the batch that is learned from; draws depend on `seed`, and epoch and key of each sample alone."""
        if not self.augmentation:
            return batch
        draws = Draws.of(batch.keys, epochs=batch.visits.epochs.tolist(), seed=seed)
        changed = {name: change(batch.inputs[name], draws) for name, change in self.augmentation.items()}
        return replace(batch, inputs={**batch.inputs, **changed})

    def outputs(self) -> dict[str, Output]:
        """Return how many values are predicted, and where, by target."""
        return {
            target.name: Output(
                dim=target.dim(self.modality(target.modality)), places=target.places, modality=target.modality
            )
            for target in self.targets
        }

    def network(self, *, seed: int) -> Network:
        """Return the network on the CPU, initialised from `seed` alone; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.model.build(self.modalities, outputs=self.outputs())

    def goals(self, decoders: Mapping[str, Decoder]) -> Callable[[Batch], Goals]:
        """Return the function from a batch to what should be predicted.

        `decoders` make what the teacher said out of stored rows, by the name of the stored target.
        """
        predicted = tuple(dict.fromkeys(target.stored for target in self.targets if target.stored is not None))
        functions = [(target, target.build(self.modality(target.modality))) for target in self.targets]

        def goals(batch: Batch) -> Goals:
            device = next(iter(batch.inputs.values())).device.type
            # Gradient histograms and variances lose their meaning in bfloat16.
            with torch.no_grad(), torch.autocast(device, enabled=False):
                stored = {name: decoders[name](batch.stored[name]) for name in predicted}
                decoded = replace(batch, stored=stored)
                wanted = {
                    target.name: _at_places(function(decoded), batch.plans[target.modality], target.places)
                    for target, function in functions
                }
            padding = {target.name: _padding_at(batch, target) for target in self.targets}
            return Goals(
                wanted=wanted,
                padding={name: rows for name, rows in padding.items() if rows is not None},
                absent={name: lengths == 0 for name, lengths in batch.lengths.items()},
            )

        return goals

    def loss(
        self, predictions: Mapping[str, Tensor], goals: Goals
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the terms, and each term before weighting, by its name."""
        terms = {term.name: term.value(predictions, goals) for term in self.objective}
        total = torch.stack([term.weight * terms[term.name] for term in self.objective]).sum()
        return total, terms


def _at_places(values: Shaped[Tensor, "batch ..."], plan: MaskPlan, places: Places) -> Shaped[Tensor, "batch ..."]:
    """Return the values of the tokens where they are predicted; in text, what the plan says has to be written there."""
    values = values.float() if values.is_floating_point() else values
    if places in ("all", "sample"):
        return values
    if places == "target" and plan.target_ids is not None and not values.is_floating_point():
        return plan.target_ids[..., None]
    return gather_tokens(values, plan.target if places == "target" else plan.visible)


def _padding_at(batch: Batch, target: Target) -> Bool[Tensor, "batch places"] | None:
    """Return which of the places where something is predicted are none; None where all are."""
    plan = batch.plans[target.modality]
    return {"target": plan.target_padding, "visible": plan.visible_padding}.get(target.places)


def _require_distinct(recipe: str, what: str, names: Sequence[str]) -> None:
    """Raise SettingsError if two have one name, under which only one of them would count."""
    if len(set(names)) < len(names):
        raise SettingsError(
            f"recipe '{recipe}': its {what} are called {', '.join(names)}; give each a name of its own."
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
