"""Rows of different lengths: kept one behind the other, and filled up only when they become a plan."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pipelines.masking.plan import MaskPlan

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


class Ragged(NamedTuple):
    """One half of a plan: `counts` [batch] tokens for every sample, their places and, in text, ids, one row behind the other.

    All int64.
    """

    counts: Int64s
    places: Int64s
    ids: Int64s | None = None

    def window(self, *, starts: Int64s, counts: Int64s) -> "Ragged":
        """Return `counts` [batch] tokens of every row from its column `starts` [batch] on."""
        first = offsets(self.counts) + starts - offsets(counts)
        kept = np.repeat(first, counts) + np.arange(counts.sum())
        return Ragged(counts, self.places[kept], None if self.ids is None else self.ids[kept])


def chosen_of(chosen: Bools, ids: Int64s | None = None) -> Ragged:
    """Return the places that are chosen in every row, ascending, with what stands there in `ids`; both [batch, tokens]."""
    return Ragged(chosen.sum(axis=1), np.nonzero(chosen)[1], None if ids is None else ids[chosen])


def offsets(counts: Int64s) -> Int64s:
    """Return where rows of `counts` values begin."""
    begin: Int64s = counts.cumsum() - counts
    return begin


def unrolled(counts: Int64s) -> tuple[Int64s, Int64s]:
    """Return row and column of every value of rows of `counts` values, one row behind the other."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - offsets(counts)[rows]


def beyond(counts: Int64s, width: int) -> Bools:
    """Return which of `width` columns lie beyond the first `counts` [batch] of each row, bool [batch, width]."""
    return np.arange(width, dtype=np.int32) >= counts.astype(np.int32)[:, None]


def plan_of(visible: Ragged, target: Ragged) -> MaskPlan:
    """Return the plan of two halves, rows filled up to the longest."""
    visible_padding, target_padding = padding_of(visible.counts), padding_of(target.counts)
    return MaskPlan(
        visible=filled(visible.places, visible_padding),
        target=filled(target.places, target_padding),
        visible_padding=marked(visible_padding),
        target_padding=marked(target_padding),
        visible_ids=None if visible.ids is None else filled(visible.ids, visible_padding),
        target_ids=None if target.ids is None else filled(target.ids, target_padding),
    )


def padding_of(counts: Int64s) -> Bools:
    """Return what is padding in rows of `counts` [batch] tokens that are filled up to the longest, bool [batch, most]."""
    return beyond(counts, int(counts.max(initial=0)))


def filled(values: Int64s, padding: Bools) -> Int[Tensor, "batch tokens"]:
    """Return values that stand one row behind the other as rows, with 0 where there is padding."""
    if values.size == padding.size:
        return torch.from_numpy(values.reshape(padding.shape))
    rows = np.zeros(padding.shape, dtype=np.int64)
    rows[~padding] = values
    return torch.from_numpy(rows)


def marked(padding: Bools) -> Bool[Tensor, "batch tokens"] | None:
    """Return padding as a plan holds it: None where there is none."""
    return torch.from_numpy(padding) if padding.any() else None
