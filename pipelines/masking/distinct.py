"""Distinct random tokens of a grid, at the cost of the tokens that are drawn, not of all there are."""

from dataclasses import dataclass

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Int64s, Ragged, plan_of, unrolled
from pipelines.modalities import Modality
from pipelines.permutation import permute


@dataclass(frozen=True, kw_only=True)
class DistinctTokens:
    """`num_inputs` random tokens of `num_real` are seen, and some of the others are predicted; counts are int64 [batch]."""

    num_real: Int64s
    num_inputs: Int64s

    @property
    def most_targets(self) -> Int64s:
        """How many tokens can be predicted."""
        return self.num_real - self.num_inputs

    def plan(self, context: MaskContext, *, modality: Modality, num_targets: Int64s) -> MaskPlan:
        """Return the plan with `num_targets` [batch] targets, at most `most_targets`, in random order.

        A keyed permutation of each sample is computed only at the places that are asked for.
        """
        counts = self.num_inputs + num_targets
        rows, places = unrolled(counts)
        keys = context.draws.hashes(f"mask/{modality.name}")
        sizes = self.num_real[counts > 0]
        is_one_size = sizes.size > 0 and bool((sizes == sizes[0]).all())
        size = int(sizes[0]) if is_one_size else self.num_real[rows]  # division by one number takes half the time
        drawn = permute(places, size=size, key=keys[rows])
        is_input = places < self.num_inputs[rows]
        return plan_of(Ragged(self.num_inputs, drawn[is_input]), Ragged(num_targets, drawn[~is_input]))
