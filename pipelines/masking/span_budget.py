"""Spans of a text that fill a budget of input tokens exactly, and a target that is cut to its own budget."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Int64s, plan_of
from pipelines.masking.spans import Sentinels, Spans
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class SpanBudget:
    """The corruption of texts whose inputs have `num_inputs` tokens each, sentinels included; counts are int64 [batch].

    A text of n tokens with s spans over h hidden tokens is read as n - h + s tokens and predicted as h + s + 1. So h follows
    from n, s and the budget; s is round((n - budget) / (mean_span - 1)), which makes spans `mean_span` long, but at least
    one and at most as many as keep apart and have sentinels. A text that fits is read as it is and has no target; one that
    is not read at all is predicted as a whole.
    """

    num_real: Int64s
    num_inputs: Int64s
    num_spans: Int64s
    sentinels: Sentinels

    @classmethod
    def of(cls, *, num_real: Int64s, num_inputs: Int64s, mean_span: float, sentinels: Sentinels) -> "SpanBudget":
        """Return the corruption of texts of `num_real` tokens, of which at most that many are read."""
        wanted = np.rint(np.minimum((num_real - num_inputs) / (mean_span - 1), num_real)).astype(np.int64)
        most = np.clip((num_inputs + 1) // 2, 1, sentinels.count - 1)
        num_spans = np.where(num_inputs < num_real, np.clip(wanted, 1, most), 0)
        return cls(num_real=num_real, num_inputs=num_inputs, num_spans=num_spans, sentinels=sentinels)

    @property
    def num_hidden(self) -> Int64s:
        """Tokens in spans."""
        hidden: Int64s = self.num_real - np.maximum(self.num_inputs - self.num_spans, 0)
        return hidden

    @property
    def most_targets(self) -> Int64s:
        """Tokens of the whole target, sentinels included."""
        return np.where(self.num_spans > 0, self.num_hidden + self.num_spans + 1, 0)

    def plan(self, context: MaskContext, *, modality: Modality, num_targets: Int64s) -> MaskPlan:
        """Return the plan whose targets have `num_targets` [batch] tokens each, at most `most_targets`.

        A target that is too long begins at a random one of those spans from which on it is still long enough. Texts that are
        neither read nor predicted cost nothing.
        """
        ids = context.ids_of(modality)
        purpose = f"mask/{modality.name}"
        is_used = self.num_inputs + num_targets > 0
        spans = Spans.drawn(
            context.draws,
            purpose=purpose,
            num_visible=self.num_real - self.num_hidden,
            num_hidden=np.where(is_used, self.num_hidden, 0),
            num_spans=np.where(is_used, self.num_spans, 0),
        )
        chance = context.draws.uniforms(1, purpose=f"{purpose}/beginning")[:, 0]
        starts = spans.beginnings(chance, latest=self.most_targets - num_targets)
        return plan_of(
            spans.input_rows(ids, counts=self.num_inputs, sentinels=self.sentinels),
            spans.target_rows(ids, starts=starts, counts=num_targets, sentinels=self.sentinels),
        )
