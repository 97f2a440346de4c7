"""What is only looked at: all tokens are visible, and none is predicted."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import divided_plan
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class Visible:
    """Show all real tokens of a sample, in their order, and ask for none; nothing is drawn.

    For a modality that helps to predict another one (Weinzaepfel et al., arXiv:2210.10716, section 3). No target can be
    predicted at its hidden tokens, since there are none.
    """

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; padding is neither shown nor asked for."""
        num_real = context.num_real(modality)
        return divided_plan(np.zeros((len(num_real), modality.num_tokens), np.bool_), num_real=num_real)
