"""Tube masking: a patch of a clip is hidden at all times or at none, so that what is hidden stands nowhere else."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.grids import box_of
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, floor_share, require_share
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class TubePatches:
    """Hide the same random share `ratio` of the patches at all times of a clip (Tong et al., arXiv:2203.12602).

    floor(patches * ratio) of the patches of a time are hidden (the product of the decimal number as written), at least one
    and never all.

    Raises:
        SettingsError: The ratio is not between 0 and 1.
    """

    ratio: float

    def __post_init__(self) -> None:
        require_share(self.ratio)

    def num_target(self, num_patches: int) -> int:
        """Return how many of the `num_patches` of a time are hidden."""
        return between_one_and_all_but_one(floor_share(num_patches, self.ratio), num_patches)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality has no times.
        """
        times, rows, columns = box_of(modality, masking="Tube masking")
        noise = context.draws.uniforms(rows * columns, purpose=f"mask/{modality.name}")
        num_real = context.num_real(modality)
        num_hidden = counts_of(
            num_real, lambda tokens: self.num_target(tokens // times) * times, most=modality.num_tokens
        )
        return ranked_plan(np.tile(noise, (1, times)), num_real=num_real, num_hidden=num_hidden)
