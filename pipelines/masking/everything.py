"""No masking: every token is visible, and every token is predicted."""

from dataclasses import dataclass

import torch
from einops import repeat

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Show all tokens of a sample and ask for all of them, as autoencoders do; padding counts as any other token."""

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; nothing is drawn."""
        every = repeat(torch.arange(modality.num_tokens), "token -> batch token", batch=len(context.draws))
        return MaskPlan(visible=every, target=every.clone())
