"""Masking that counts what fills a short sample as part of it: silence behind a sound is hidden and shown like sound."""

from dataclasses import dataclass, replace

from pipelines.masking.plan import MaskContext, Masking, MaskPlan, stored_of_masking
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class AsIfFull:
    """Mask as `masking` does samples that have all of their tokens, so that plans need no padding.

    As models of sound do that are shown ten seconds of everything (Huang et al., arXiv:2207.06405, official code).
    """

    masking: Masking

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that `masking` looks at; see ReadsStored."""
        return stored_of_masking(self.masking)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; see Masking."""
        lengths = {name: length for name, length in context.lengths.items() if name != modality.name}
        return self.masking.plan(replace(context, lengths=lengths), modality=modality)
