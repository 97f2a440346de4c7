"""Masking in large units: squares of several patches are hidden or seen as a whole."""

from dataclasses import dataclass

from pipelines.masking.grids import plane_of
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, ceil_share, require_share
from pipelines.modalities import Modality
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class UnitPatches:
    """Hide a random share `ratio` of the squares of `unit` x `unit` patches (Xie et al., arXiv:2111.09886, section 3.2).

    ceil(units * ratio) units are hidden (the product of the decimal number as written), at least one and never all. Where
    only the beginning of a grid is real, as many patches are hidden as whole units of it would have.

    Raises:
        SettingsError: The ratio is not between 0 and 1, or a unit has no patch.
    """

    ratio: float
    unit: int = 2

    def __post_init__(self) -> None:
        require_share(self.ratio)
        if self.unit < 1:
            raise SettingsError(f"Units of {self.unit} x {self.unit} patches were asked for; give at least 1.")

    def num_target(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` are hidden."""
        patches = self.unit**2
        units = num_tokens // patches
        if units < 2:
            return min(patches, num_tokens - 1)
        return between_one_and_all_but_one(ceil_share(units, self.ratio), units) * patches

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality has no rows and columns, or units do not tile them.
        """
        rows, columns = self._units_of(modality)
        noise = context.draws.uniforms(rows * columns, purpose=f"mask/{modality.name}").reshape(-1, rows, columns)
        scores = noise.repeat(self.unit, axis=1).repeat(self.unit, axis=2).reshape(-1, modality.num_tokens)
        num_real = context.num_real(modality)
        return ranked_plan(
            scores, num_real=num_real, num_hidden=counts_of(num_real, self.num_target, most=modality.num_tokens)
        )

    def _units_of(self, modality: Modality) -> tuple[int, int]:
        rows, columns = plane_of(modality, masking="Masking in units")
        if rows % self.unit or columns % self.unit or rows * columns < 2 * self.unit**2:
            raise SettingsError(
                f"Units of {self.unit} x {self.unit} patches do not tile '{modality.name}', which has {rows} x {columns}; "
                "both sides have to be a multiple of the unit, and there have to be two units."
            )
        return rows // self.unit, columns // self.unit
