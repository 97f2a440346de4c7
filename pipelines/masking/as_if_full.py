"""Masking that counts what fills a short sample as part of it: silence behind a sound is hidden and shown like sound."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipelines.masking.plan import MaskContext, Masking, MaskPlan, stored_of_masking
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class AsIfFull:
    """Mask as `masking` does samples that have all of their tokens, so that plans need padding only where a sound is absent.

    As models of sound do that are shown ten seconds of everything (Huang et al., arXiv:2207.06405, official code).
    """

    masking: Masking

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that `masking` looks at; see ReadsStored."""
        return stored_of_masking(self.masking)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; see Masking."""
        return self.masking.plan(replace(context, lengths=self._filled(context, modality)), modality=modality)

    @staticmethod
    def _filled(context: MaskContext, modality: Modality) -> dict[str, Tensor]:
        """Return lengths by which samples have all tokens of the modality, or, where they lack it, none."""
        lengths = dict(context.lengths)
        own = lengths.pop(modality.name, None)
        if own is not None and not own.all():
            lengths[modality.name] = torch.where(own > 0, modality.num_tokens, 0)
        return lengths
