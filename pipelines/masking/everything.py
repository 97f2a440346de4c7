"""No masking: every token is visible, and every token is predicted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from einops import repeat
from torch import Tensor

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.modalities import Modality, Text


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Show all tokens of a sample and ask for all of them, as autoencoders do; padding counts as any other token."""

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; nothing is drawn."""
        every = repeat(torch.arange(modality.num_tokens), "token -> batch token", batch=len(context.draws))
        return MaskPlan(visible=every, target=every.clone())


def everything_visible(
    modalities: Iterable[Modality], inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor]
) -> dict[str, MaskPlan]:
    """Return plans that show all that samples have, and ask for nothing, on the device of the inputs.

    `lengths` are those of the batch. A modality that a sample lacks is padding, as is what comes behind the end of a text; of
    anything else that a sample has, all of the grid counts.
    """
    plans = {}
    for modality in modalities:
        rows = inputs[modality.name]
        every = repeat(torch.arange(modality.num_tokens, device=rows.device), "token -> batch token", batch=len(rows))
        length = lengths.get(modality.name)
        if length is not None and not isinstance(modality, Text):
            length = torch.where(length > 0, modality.num_tokens, 0)
        padding = None if length is None else every >= length[:, None].to(rows.device)
        plans[modality.name] = MaskPlan(visible=every, target=every[:, :0], visible_padding=padding)
    return plans
