"""Span corruption of text: runs of tokens are replaced by one sentinel each, and written out behind it as the target."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Bools, Int64s, Ragged, beyond, chosen_of, offsets, plan_of
from pipelines.masking.ranking import counts_of
from pipelines.masking.shares import between_one_and_all_but_one, nearest_share, require_share
from pipelines.modalities import Modality
from pipelines.permutation import permute
from pipelines.randomness import Draws, Floats, UInt64s
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Sentinels:
    """The ids `first` .. `first` + `count` - 1, which stand for the spans of a text in order, and close its target.

    Raises:
        SettingsError: An id is negative, or there are fewer than two, one for a span and one to close it.
    """

    first: int
    count: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 2:
            raise SettingsError(
                f"{self.count} sentinels from id {self.first} on were asked for; give at least 2, from id 0 or above."
            )


@dataclass(frozen=True, kw_only=True)
class SentinelSpans:
    """Hide a share `ratio` of the tokens of a text in spans of `mean_span` tokens (Raffel et al., arXiv:1910.10683, 3.1.4).

    round(tokens * ratio) tokens are hidden (the product of the decimal number as written, halves to the even number), at
    least one and never all, in round(hidden / mean_span) spans, at least one, as many as there are sentinels to name them,
    and no two touching. In the input a sentinel stands for each span; the target is each span behind its sentinel, and one
    more sentinel. A text of one token is left as it is; padding is neither counted nor hidden.

    Deviation from the published code, whose texts always begin with a visible token and end with a hidden one: all
    arrangements are as likely, which hides the first and last few tokens less often than others.

    Raises:
        SettingsError: The ratio is not between 0 and 1, or spans have a mean of less than one token.
    """

    sentinels: Sentinels
    ratio: float = 0.15
    mean_span: float = 3.0

    def __post_init__(self) -> None:
        require_share(self.ratio)
        if not self.mean_span >= 1:
            raise SettingsError(f"Spans of {self.mean_span} tokens were asked for; give a mean of at least 1.")

    def num_target(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` are hidden."""
        return between_one_and_all_but_one(nearest_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            SettingsError: The modality is not in the batch, or not as token ids.
        """
        ids = context.ids_of(modality)
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, self.num_target, most=modality.num_tokens)
        spans = Spans.drawn(
            context.draws,
            purpose=f"mask/{modality.name}",
            length=modality.num_tokens,
            num_visible=num_real - num_hidden,
            num_hidden=num_hidden,
            num_spans=self._num_spans(num_real, num_hidden),
        )
        return plan_of(
            spans.input_rows(ids, num_real=num_real, sentinels=self.sentinels),
            spans.target_rows(ids, sentinels=self.sentinels),
        )

    def _num_spans(self, num_real: Int64s, num_hidden: Int64s) -> Int64s:
        wanted = np.maximum(np.rint(num_hidden / self.mean_span).astype(np.int64), 1)
        most = np.minimum(num_hidden, num_real - num_hidden + 1)
        num_spans: Int64s = np.minimum(np.minimum(wanted, most), self.sentinels.count - 1)
        return num_spans


@dataclass(frozen=True, kw_only=True)
class Spans:
    """The corrupted parts of texts: which tokens are hidden, and which of them begin a span; bool [batch, length]."""

    hidden: Bools
    starts: Bools

    @classmethod
    def drawn(
        cls, draws: Draws, *, purpose: str, length: int, num_visible: Int64s, num_hidden: Int64s, num_spans: Int64s
    ) -> "Spans":
        """Draw spans of which no two touch; all arrangements of `num_spans` spans over `num_hidden` tokens are as likely.

        Counts are int64 [batch]. With a token hidden there has to be a span, and there may be at most `num_hidden` and at
        most `num_visible` + 1 of them.
        """
        numbers = _distinct(
            np.concatenate([num_spans, np.maximum(num_spans - 1, 0)]),
            size=np.concatenate([num_visible + 1, num_hidden - 1]),
            keys=np.concatenate([draws.hashes(f"{purpose}/{part}") for part in ("gaps", "lengths")]),
        )
        before, cuts = np.split(numbers, 2)
        rows, columns = np.nonzero(~beyond(num_spans, before.shape[1]))
        hidden_before = np.pad(cuts + 1, ((0, 0), (1, 0)))
        hidden_before[np.arange(len(num_spans)), num_spans] = num_hidden
        begin = before[rows, columns] + hidden_before[rows, columns]
        end = before[rows, columns] + hidden_before[rows, columns + 1]
        edges = np.zeros((len(num_spans), length + 1), dtype=np.int8)
        edges[rows, begin], edges[rows, end] = 1, -1
        return cls(hidden=edges[:, :-1].cumsum(axis=1, dtype=np.int8) > 0, starts=edges[:, :-1] > 0)

    def input_rows(self, ids: Int64s, *, num_real: Int64s, sentinels: Sentinels) -> Ragged:
        """Return what an encoder reads: texts whose spans are replaced by sentinels.

        A sentinel stands at the place of the first token of its span.
        """
        real = ~beyond(num_real, ids.shape[1])
        sentinel_ids = sentinels.first - 1 + self.starts.cumsum(axis=1)
        return chosen_of(real & (~self.hidden | self.starts), np.where(self.starts, sentinel_ids, ids))

    def target_rows(self, ids: Int64s, *, sentinels: Sentinels) -> Ragged:
        """Return what is predicted: spans, each behind its sentinel, closed by the next sentinel.

        A sentinel stands at the place of the token that follows it, the last one at that of the token before it. Text
        without a hidden token has no target.
        """
        total = self.hidden.cumsum(axis=1)
        closes = self.hidden & (total == total[:, -1:])
        written = np.stack([self.starts, self.hidden, closes], axis=2)
        tokens, kinds = np.divmod(np.flatnonzero(written), 3)
        sentinel_ids = sentinels.first - 1 + self.starts.cumsum(axis=1).ravel()[tokens] + (kinds == 2)
        return Ragged(
            counts=written.sum(axis=(1, 2)),
            places=tokens % ids.shape[1],
            ids=np.where(kinds == 1, ids.ravel()[tokens], sentinel_ids),
        )

    def beginnings(self, chance: Floats, *, latest: Int64s) -> Int64s:
        """Return where in each target one of its sentinels stands, none beyond the column `latest`, int64 [batch].

        `chance` [batch], in [0, 1), chooses among them evenly. The first sentinel, at 0, always counts.
        """
        columns = self.hidden.cumsum(axis=1) + self.starts.cumsum(axis=1) - 2
        is_early = self.starts & (columns <= latest[:, None])
        counts = is_early.sum(axis=1)
        has_any = np.flatnonzero(counts)
        drawn = offsets(counts) + np.floor(chance * counts).astype(np.int64)
        beginnings = np.zeros_like(latest)
        beginnings[has_any] = columns[is_early][drawn[has_any]]
        return beginnings


def _distinct(counts: Int64s, *, size: Int64s, keys: UInt64s) -> Int64s:
    """Return `counts` [batch] different numbers below `size` [batch] for every row, ascending, filled up with 0 at the end."""
    padding = beyond(counts, int(counts.max(initial=0)))
    rows, columns = np.nonzero(~padding)
    numbers = np.full(padding.shape, np.iinfo(np.int64).max)  # sorts behind every number
    numbers[rows, columns] = permute(columns, size=size[rows], key=keys[rows])
    numbers.sort(axis=1)
    numbers[padding] = 0
    return numbers
