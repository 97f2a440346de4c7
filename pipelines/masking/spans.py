"""Span corruption of text: runs of tokens are replaced by one sentinel each, and written out behind it as the target."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Bools, Int64s, Ragged, offsets, plan_of, unrolled
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
        num_visible, num_spans = num_real - num_hidden, self._num_spans(num_real, num_hidden)
        spans = Spans.drawn(
            context.draws,
            purpose=f"mask/{modality.name}",
            num_visible=num_visible,
            num_hidden=num_hidden,
            num_spans=num_spans,
        )
        num_written = np.where(num_spans > 0, num_hidden + num_spans + 1, 0)
        return plan_of(
            spans.input_rows(ids, counts=num_visible + num_spans, sentinels=self.sentinels),
            spans.target_rows(ids, starts=np.zeros_like(num_real), counts=num_written, sentinels=self.sentinels),
        )

    def _num_spans(self, num_real: Int64s, num_hidden: Int64s) -> Int64s:
        wanted = np.maximum(np.rint(num_hidden / self.mean_span).astype(np.int64), 1)
        most = np.minimum(num_hidden, num_real - num_hidden + 1)
        num_spans: Int64s = np.minimum(np.minimum(wanted, most), self.sentinels.count - 1)
        return num_spans


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Which tokens of texts are hidden: runs of which no two touch, one text behind the other; all int64.

    Args:
        counts: How many spans each text has, [batch].
        gaps: How many visible tokens stand before each span, [spans].
        bounds: How many hidden tokens stand before each span, and at last how many there are, [spans + batch].
    """

    counts: Int64s
    gaps: Int64s
    bounds: Int64s

    @classmethod
    def drawn(
        cls, draws: Draws, *, purpose: str, num_visible: Int64s, num_hidden: Int64s, num_spans: Int64s
    ) -> "Spans":
        """Draw spans; all arrangements of `num_spans` spans over `num_hidden` tokens are as likely.

        Counts are int64 [batch]. With a token hidden there has to be a span, and there may be at most `num_hidden` and at
        most `num_visible` + 1 of them.
        """
        num_cuts = np.maximum(num_spans - 1, 0)
        numbers = _distinct(
            np.concatenate([num_spans, num_cuts]),
            size=np.concatenate([num_visible + 1, num_hidden - 1]),
            keys=np.concatenate([draws.hashes(f"{purpose}/{part}") for part in ("gaps", "lengths")]),
        )
        gaps, cuts = np.split(numbers, [num_spans.sum()])
        first = offsets(num_spans + 1)
        bounds = np.zeros(len(gaps) + len(num_spans), dtype=np.int64)
        rows, numbers = unrolled(num_cuts)
        bounds[first[rows] + numbers + 1] = cuts + 1
        bounds[first + num_spans] = num_hidden
        return cls(counts=num_spans, gaps=gaps, bounds=bounds)

    def input_rows(self, ids: Int64s, *, counts: Int64s, sentinels: Sentinels) -> Ragged:
        """Return what an encoder reads of texts `ids` [batch, length]: the spans are replaced by sentinels.

        `counts` [batch] are visible tokens and spans together, or 0 where nothing is read. A sentinel stands at the place
        of the first token of its span.
        """
        owners, numbers = unrolled(self.counts)
        rows, columns = unrolled(counts)
        begun, is_sentinel = _passed(self.gaps + numbers, owners, rows, columns)
        begun -= offsets(self.counts)[rows]
        over = begun - is_sentinel
        places = columns - over + self.bounds[offsets(self.counts + 1)[rows] + over]
        read = np.where(is_sentinel, sentinels.first - 1 + begun, ids[rows, places])
        return Ragged(counts, places, read)

    def target_rows(self, ids: Int64s, *, starts: Int64s, counts: Int64s, sentinels: Sentinels) -> Ragged:
        """Return what is predicted of texts `ids` [batch, length]: spans, each behind its sentinel, closed by the next one.

        Of the whole target, which has a token for every span and for every hidden token and one more, `counts` [batch] are
        returned from the column `starts` [batch] on. A sentinel stands at the place of the token that follows it, the
        last one at that of the token before it.
        """
        owners, numbers = unrolled(self.counts + 1)
        rows, columns = unrolled(counts)
        columns += starts[rows]
        begun, is_sentinel = _passed(self.bounds + numbers, owners, rows, columns)
        begun -= offsets(self.counts + 1)[rows]
        spans = self.counts[rows]
        opens = is_sentinel & (begun <= spans)
        places = columns - begun + opens + self.gaps[offsets(self.counts)[rows] + np.minimum(begun, spans) - 1]
        written = np.where(is_sentinel, sentinels.first - 1 + begun, ids[rows, places])
        return Ragged(counts, places, written)

    def beginnings(self, chance: Floats, *, latest: Int64s) -> Int64s:
        """Return where in each target one of its sentinels stands, none beyond the column `latest`, int64 [batch].

        `chance` [batch], in [0, 1), chooses among them evenly. The first sentinel, at 0, always counts; the closing one never.
        """
        owners, numbers = unrolled(self.counts + 1)
        columns = self.bounds + numbers
        is_early = (columns <= latest[owners]) & (numbers < self.counts[owners])
        num_early = np.bincount(owners[is_early], minlength=len(latest))
        return columns[offsets(self.counts + 1) + np.floor(chance * num_early).astype(np.int64)]


def _passed(marks: Int64s, owners: Int64s, rows: Int64s, columns: Int64s) -> tuple[Int64s, Bools]:
    """Return, for each place (row, column), how many of the marks (owner, column) come up to it, and whether one is there.

    Both are in ascending order.
    """
    width = max(int(marks.max(initial=0)), int(columns.max(initial=0))) + 1
    flat_marks, flat_places = owners * width + marks, rows * width + columns
    passed = np.searchsorted(flat_marks, flat_places, side="right")
    is_mark = np.zeros(len(passed), dtype=np.bool_)
    some = passed > 0
    is_mark[some] = flat_marks[passed[some] - 1] == flat_places[some]
    return passed, is_mark


def _distinct(counts: Int64s, *, size: Int64s, keys: UInt64s) -> Int64s:
    """Return `counts` [batch] different numbers below `size` [batch], ascending, one row behind the other."""
    rows, columns = unrolled(counts)
    base = rows * int(size.max(initial=1))
    ascending: Int64s = np.sort(base + permute(columns, size=size[rows], key=keys[rows])) - base
    return ascending
