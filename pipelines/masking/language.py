"""Masked language modelling: some tokens of a text are predicted, most of them behind a mask, the others in disguise."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Bools, Int64s, beyond, chosen_of, plan_of
from pipelines.masking.ranking import each_once
from pipelines.masking.shares import nearest_share, require_share, require_within
from pipelines.modalities import Modality
from pipelines.randomness import Draws
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class MaskedLanguage:
    """Predict a random share `ratio` of the tokens of a text, all of which stay visible (Devlin et al., arXiv:1810.04805, 3.1).

    round(tokens * ratio) tokens are predicted (the product of the decimal number as written, halves to the even number), at
    least one. Each of them is replaced by a random id with the chance `swapped`, left as it is with the chance `kept`, and
    by `mask_id` otherwise. Padding is neither counted nor predicted. `special` ids are counted but never predicted.

    Args:
        mask_id: The id of the mask.
        vocabulary: Random ids are below this.
        ratio: The share of tokens that is predicted.
        swapped: The share of these that is replaced by a random id.
        kept: The share of these that is left as it is.
        special: Ids that are never predicted, such as the marks of beginning and end.

    Raises:
        SettingsError: A share is not between 0 and 1, or the mask is not in the vocabulary.
    """

    mask_id: int
    vocabulary: int
    ratio: float = 0.15
    swapped: float = 0.1
    kept: float = 0.1
    special: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require_share(self.ratio)
        for name, share in (("swapped", self.swapped), ("kept", self.kept), ("sum of both", self.swapped + self.kept)):
            require_within(f"share of predicted tokens ({name})", share, least=0.0, most=1.0)
        if not 0 <= self.mask_id < self.vocabulary:
            raise SettingsError(
                f"The mask has the id {self.mask_id}, which is not in a vocabulary of {self.vocabulary}."
            )

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch, tokens ascending; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality is not in the batch, or not as token ids.
        """
        ids = context.ids_of(modality)
        num_real = context.num_real(modality)
        purpose = f"mask/{modality.name}"
        chosen = self._chosen(context.draws, ids, num_real=num_real, purpose=purpose)
        disguised = self._disguised(context.draws, ids, purpose=purpose)
        real = ~beyond(num_real, ids.shape[1])
        return plan_of(chosen_of(real, np.where(chosen, disguised, ids)), chosen_of(chosen, ids))

    def _chosen(self, draws: Draws, ids: Int64s, *, num_real: Int64s, purpose: str) -> Bools:
        """Return which tokens are predicted, bool [batch, length]."""
        open_to_it = ~beyond(num_real, ids.shape[1]) & ~np.isin(ids, self.special)
        noise = np.where(open_to_it, draws.uniforms(ids.shape[1], purpose=f"{purpose}/chosen"), np.inf)
        ranks = noise.argsort(axis=1, kind="stable").argsort(axis=1)
        wanted = each_once(num_real, lambda tokens: max(1, nearest_share(tokens, self.ratio)))
        return open_to_it & (ranks < wanted[:, None])

    def _disguised(self, draws: Draws, ids: Int64s, *, purpose: str) -> Int64s:
        """Return what would stand at every place if it were predicted, int64 [batch, length]."""
        fate = draws.uniforms(ids.shape[1], purpose=f"{purpose}/fate")
        others = np.floor(draws.uniforms(ids.shape[1], purpose=f"{purpose}/swapped") * self.vocabulary).astype(np.int64)
        return np.where(fate < self.swapped, others, np.where(fate < self.swapped + self.kept, ids, self.mask_id))
