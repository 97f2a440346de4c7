"""Masking of time and frequency: whole columns or rows of sound, or of any other plane of tokens, are hidden."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.grids import plane_of
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Bools, Int64s, beyond
from pipelines.masking.ranking import divided_plan
from pipelines.masking.shares import remaining_share
from pipelines.modalities import Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class TimeFrequencyPatches:
    """Hide a share `time` of the times and a share `frequency` of the bands, each drawn at random.

    Visible is the grid of those floor(times * (1 - time)) times and floor(bands * (1 - frequency)) bands that are left (the
    products of the decimal numbers as written), at least one of each (Huang et al., arXiv:2207.06405). With
    one of the shares 0 only times or only bands are hidden (Gong et al., arXiv:2210.07839). Of a sound that ends
    early only the times with real tokens are counted and drawn.

    Raises:
        SettingsError: A share is not from 0 to below 1, or both are 0.
    """

    time: float = 0.0
    frequency: float = 0.0

    def __post_init__(self) -> None:
        shares = self.time, self.frequency
        if not (min(shares) >= 0 and 0 < max(shares) < 1):
            raise SettingsError(
                f"Shares of {self.time} of the times and {self.frequency} of the bands were asked for; "
                "both have to be from 0 to below 1, and one above 0."
            )

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The tokens of the modality are in no plane, or the shares hide none of them.
        """
        times, bands = plane_of(modality, masking="Masking of time and frequency")
        if _num_kept(times, self.time) * _num_kept(bands, self.frequency) == times * bands:
            raise SettingsError(
                f"Shares of {self.time} of the times and {self.frequency} of the bands hide nothing of "
                f"'{modality.name}' with {times} times and {bands} bands; give larger ones."
            )
        num_real = context.num_real(modality)
        num_times = -(-num_real // bands)
        purpose = f"mask/{modality.name}"
        kept_times = np.array([_num_kept(count, self.time) for count in range(times + 1)])[num_times]
        sees_time = _kept(context.draws.uniforms(times, purpose=f"{purpose}/time"), real=num_times, kept=kept_times)
        num_bands = np.full_like(num_real, bands)
        kept_bands = np.full_like(num_real, _num_kept(bands, self.frequency))
        sees_band = _kept(context.draws.uniforms(bands, purpose=f"{purpose}/band"), real=num_bands, kept=kept_bands)
        visible = sees_time[:, :, None] & sees_band[:, None, :]
        return divided_plan(~visible.reshape(-1, modality.num_tokens), num_real=num_real)


def _num_kept(count: int, share: float) -> int:
    return max(1, remaining_share(count, share))


def _kept(noise: Floats, *, real: Int64s, kept: Int64s) -> Bools:
    """Return which lines stay visible, bool [batch, lines]: the `kept` ones with the least noise of the `real` first."""
    order = np.argsort(np.where(beyond(real, noise.shape[1]), np.inf, noise), axis=1, kind="stable")
    is_kept = np.zeros(noise.shape, dtype=np.bool_)
    np.put_along_axis(is_kept, order, ~beyond(kept, noise.shape[1]), axis=1)
    return is_kept
