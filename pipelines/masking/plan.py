"""MaskPlan: which tokens the model sees and which it predicts, as indices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from pipelines.modalities import Modality
from pipelines.randomness import Draws
from shards.errors import MissingTargetError, SettingsError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class MaskPlan:
    """Token indices of one modality, one row per sample.

    Where samples have different numbers of visible or target tokens, rows are filled up at the end, and the filled places,
    whose index is 0, are marked as padding. No token is both visible and target, with three exceptions: `Everything`,
    for autoencoders, shows and asks for all; masked language modelling predicts some of the places it lets the encoder see;
    and a sentinel that replaces a span of text stands at the place of the first token of the span, among the visible as
    among the target tokens.

    Args:
        visible: Places of the tokens that the encoder sees, int64 [batch, visible].
        target: Places of the tokens that are predicted, int64 [batch, target].
        visible_padding: True where a visible place is none; None where all are real.
        target_padding: True where a target place is none; None where all are real.
        visible_ids: What the encoder reads at the visible places, for text whose masked spans are replaced by sentinels or
            whose tokens are swapped; None where it is the token that stands there.
        target_ids: What is to be predicted at the target places, likewise.
    """

    visible: Int[Tensor, "batch visible"]
    target: Int[Tensor, "batch target"]
    visible_padding: Bool[Tensor, "batch visible"] | None = None
    target_padding: Bool[Tensor, "batch target"] | None = None
    visible_ids: Int[Tensor, "batch visible"] | None = None
    target_ids: Int[Tensor, "batch target"] | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> "MaskPlan":
        """Return the plan with every tensor changed."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return MaskPlan(**{name: change(tensor) for name, tensor in tensors.items() if tensor is not None})


@dataclass(frozen=True, kw_only=True)
class MaskContext:
    """What a masking may look at: the draws of the batch, and what is in the batch.

    Args:
        draws: The draws of the samples; every random choice comes from them.
        inputs: Rendered inputs, by the name of the modality.
        stored: Stored targets, by the name of the target.
        lengths: For modalities whose samples differ in length or may be absent, how many tokens each sample really has,
            int64 [batch], by the name of the modality. A modality that is not named has all of its tokens in every sample.
    """

    draws: Draws
    inputs: Mapping[str, Shaped[Tensor, "batch ..."]]
    stored: Mapping[str, Shaped[Tensor, "batch ..."]]
    lengths: Mapping[str, Int[Tensor, " batch"]]

    def num_real(self, modality: Modality) -> npt.NDArray[np.int64]:
        """Return how many tokens of `modality` each sample has, int64 [batch]; the first ones are the real ones."""
        lengths = self.lengths.get(modality.name)
        if lengths is None:
            return np.full(len(self.draws), modality.num_tokens, dtype=np.int64)
        return lengths.numpy().astype(np.int64)

    def input_of(self, modality: Modality) -> npt.NDArray[np.generic]:
        """Return the rendered input of `modality`, [batch, ...]; raises SettingsError if the batch does not hold it."""
        if modality.name not in self.inputs:
            raise SettingsError(
                f"The masking of '{modality.name}' looks at it, but the batch holds "
                f"{', '.join(self.inputs) or 'nothing'}.{did_you_mean(modality.name, self.inputs)}"
            )
        return self.inputs[modality.name].numpy()

    def ids_of(self, modality: Modality) -> npt.NDArray[np.int64]:
        """Return the token ids of `modality`, int64 [batch, tokens]; raises SettingsError if its input is none."""
        found = self.input_of(modality)
        if found.shape != (len(self.draws), modality.num_tokens) or not np.issubdtype(found.dtype, np.integer):
            raise SettingsError(
                f"The masking of '{modality.name}' needs {modality.num_tokens} token ids for each sample, but found "
                f"{found.dtype} of shape {found.shape}; choose another masking for it."
            )
        return found.astype(np.int64, copy=False)

    def stored_of(self, name: str, *, modality: Modality) -> npt.NDArray[np.generic]:
        """Return the stored target `name`, [batch, tokens, ...], with one value or vector for every token of `modality`.

        Raises:
            MissingTargetError: The batch does not hold it.
            SettingsError: It has another number of tokens.
        """
        if name not in self.stored:
            raise MissingTargetError(
                f"The masking of '{modality.name}' reads the stored target '{name}', but the batch holds "
                f"{', '.join(self.stored) or 'none'}.{did_you_mean(name, self.stored)}"
            )
        found = self.stored[name].numpy()
        if found.ndim < 2 or found.shape[1] != modality.num_tokens:
            raise SettingsError(
                f"The stored target '{name}' has the shape {found.shape} in this batch; to mask '{modality.name}' it "
                f"needs {modality.num_tokens} tokens in the second place."
            )
        return found


@runtime_checkable
class Masking(Protocol):
    """Decides the MaskPlan of one modality."""

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`."""
        ...


@runtime_checkable
class ReadsStored(Protocol):
    """A masking that looks at what a teacher stored."""

    @property
    def stored(self) -> tuple[str, ...]:
        """The names of the stored targets that plans are made from; each has to be in `MaskContext.stored`."""
        ...


def stored_of_masking(masking: "Masking | JointMasking") -> tuple[str, ...]:
    """Return the names of the stored targets that a masking looks at."""
    return masking.stored if isinstance(masking, ReadsStored) else ()


@runtime_checkable
class JointMasking(Protocol):
    """Decides the MaskPlans of several modalities together, as where they share a budget of tokens."""

    def plan_jointly(self, context: MaskContext, *, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
        """Return the plans by the name of the modality; every draw comes from `context.draws`."""
        ...
