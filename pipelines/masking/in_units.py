"""Masking that takes squares of several patches for one, so that what another masking hides is coarser than the patches."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from pipelines.masking.plan import MaskContext, Masking, MaskPlan, stored_of_masking
from pipelines.masking.ragged import Ragged, chosen_of, plan_of
from pipelines.modalities import Clip, Image, Modality
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class InUnits:
    """Mask as `masking` does where a patch is as large as `unit` x `unit` patches, which are hidden or seen as a whole.

    Blocks on a clip become cubes that begin and end between units (Wei et al., arXiv:2112.09133, official code: blocks of
    units of 32 pixels). Visible and target tokens ascend.

    Raises:
        SettingsError: A unit has no patch.
    """

    masking: Masking
    unit: int = 2

    def __post_init__(self) -> None:
        if self.unit < 1:
            raise SettingsError(f"Units of {self.unit} x {self.unit} patches were asked for; give at least 1.")

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that `masking` looks at; see ReadsStored."""
        return stored_of_masking(self.masking)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; see Masking.

        Raises:
            SettingsError: The modality is neither a picture nor a clip, or units do not tile it.
        """
        coarse = self._in_units(modality)
        plan = self.masking.plan(context, modality=coarse)
        return plan_of(
            self._patches_of(plan.visible, plan.visible_padding, coarse),
            self._patches_of(plan.target, plan.target_padding, coarse),
        )

    def _in_units(self, modality: Modality) -> Image | Clip:
        if not isinstance(modality, Image | Clip):
            raise SettingsError(
                f"Masking in units needs a picture or a clip, but '{modality.name}' is a {type(modality).__name__}; "
                "choose another masking for it."
            )
        if modality.grid[-1] % self.unit:
            raise SettingsError(
                f"Units of {self.unit} x {self.unit} patches do not tile '{modality.name}', which has {modality.grid[-1]} "
                "patches a side; that has to be a multiple of the unit."
            )
        return replace(modality, patch=modality.patch * self.unit)

    def _patches_of(
        self, units: Int[Tensor, "batch units"], padding: Bool[Tensor, "batch units"] | None, coarse: Image | Clip
    ) -> Ragged:
        """Return the patches of some units of every sample."""
        chosen = np.zeros((len(units), coarse.num_tokens), dtype=np.bool_)
        real = np.ones(units.shape, dtype=np.bool_) if padding is None else ~padding.numpy()
        rows = np.nonzero(real)[0]
        chosen[rows, units.numpy()[real]] = True
        grid = chosen.reshape(len(units), *coarse.grid)
        patches = grid.repeat(self.unit, axis=-2).repeat(self.unit, axis=-1)
        return chosen_of(patches.reshape(len(units), coarse.num_tokens * self.unit**2))
