"""Span corruption of text: runs of tokens are replaced by one sentinel each, and written out behind it as the target."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.ragged import Bools, Int64s, Ragged, beyond, chosen_of, offsets
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
        before = _distinct(num_spans, size=num_visible + 1, keys=draws.hashes(f"{purpose}/gaps"))
        cuts = 1 + _distinct(np.maximum(num_spans - 1, 0), size=num_hidden - 1, keys=draws.hashes(f"{purpose}/lengths"))
        rows, columns = np.nonzero(~beyond(num_spans, before.shape[1]))
        hidden_before = np.zeros((len(num_spans), before.shape[1] + 1), dtype=np.int64)
        hidden_before[:, 1 : 1 + cuts.shape[1]] = cuts
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
    padding = beyond(counts, counts.max(initial=0))
    rows, columns = np.nonzero(~padding)
    numbers = np.full(padding.shape, np.iinfo(np.int64).max)  # sorts behind every number
    numbers[rows, columns] = permute(columns, size=size[rows], key=keys[rows])
    numbers.sort(axis=1)
    numbers[padding] = 0
    return numbers
