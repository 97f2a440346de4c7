"""Spans of a text that fill a budget of input tokens exactly, and a target that is cut to its own budget."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Int64s, Ragged, plan_of
from pipelines.masking.spans import Sentinels, Spans
from pipelines.modalities import Modality
from pipelines.randomness import Draws


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
        wanted = np.rint((num_real - num_inputs) / (mean_span - 1)).astype(np.int64)
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
        used = np.flatnonzero(self.num_inputs + num_targets)
        halves = self.rows(used).halves(
            Draws(tickets=context.draws.tickets[used]),
            context.ids_of(modality)[used, : self.num_real[used].max(initial=1)],
            num_targets=num_targets[used],
            purpose=f"mask/{modality.name}",
        )
        return plan_of(*(half.spread(used, batch=len(num_targets)) for half in halves))

    def rows(self, rows: Int64s) -> "SpanBudget":
        """Return the corruption of some of the texts."""
        return replace(
            self, num_real=self.num_real[rows], num_inputs=self.num_inputs[rows], num_spans=self.num_spans[rows]
        )

    def halves(self, draws: Draws, ids: Int64s, *, num_targets: Int64s, purpose: str) -> tuple[Ragged, Ragged]:
        """Return what is read and what is predicted of the texts `ids` [batch, length], long enough for all of them."""
        spans = Spans.drawn(
            draws,
            purpose=purpose,
            length=ids.shape[1],
            num_visible=self.num_real - self.num_hidden,
            num_hidden=self.num_hidden,
            num_spans=self.num_spans,
        )
        read = np.where(self.num_inputs > 0, self.num_real, 0)
        chance = draws.uniforms(1, purpose=f"{purpose}/beginning")[:, 0]
        starts = spans.beginnings(chance, latest=self.most_targets - num_targets)
        return (
            spans.input_rows(ids, num_real=read, sentinels=self.sentinels),
            spans.target_rows(ids, sentinels=self.sentinels).window(starts=starts, counts=num_targets),
        )
