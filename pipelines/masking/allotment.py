"""Allotments: a budget of tokens shared out among modalities, each of which can use so many and no more."""

import numpy as np

from pipelines.masking.ragged import Int64s
from pipelines.randomness import Floats


def allotted(budget: int, *, log_weights: Floats, capacities: Int64s) -> Int64s:
    """Return how many tokens of `budget` each modality gets, int64 [batch, modalities].

    Shares are in proportion to exp(`log_weights`). What goes beyond the `capacities` of a modality is shared out among the
    others in the same proportion, again and again, so that min(budget, sum of capacities) tokens are allotted exactly.
    Shares are rounded by largest remainder: down, and the tokens that are left go to the largest fractions, one each. A
    modality whose weight is 0 gets none, even if the budget then cannot be spent.
    """
    usable = np.where(np.isneginf(log_weights), 0, capacities)
    shares = _capped_shares(budget, log_weights=log_weights, capacities=usable)
    whole = np.minimum(np.floor(shares), usable).astype(np.int64)
    left = np.minimum(budget, usable.sum(axis=1)) - whole.sum(axis=1)
    fractions = np.where(whole < usable, shares - whole, -1.0)
    ranks = np.argsort(np.argsort(-fractions, axis=1, kind="stable"), axis=1)
    allotment: Int64s = whole + (ranks < left[:, None])
    return allotment


def _capped_shares(budget: int, *, log_weights: Floats, capacities: Int64s) -> Floats:
    """Return shares of `budget` in proportion to the weights, none above its capacity, [batch, modalities]."""
    shares = np.zeros(log_weights.shape)
    rows = np.arange(len(log_weights))
    is_full = np.zeros(log_weights.shape, dtype=np.bool_)
    while rows.size:
        granted = np.where(is_full[rows], capacities[rows], 0)
        is_open = ~is_full[rows] & (capacities[rows] > 0)
        weights = _normalised(np.where(is_open, log_weights[rows], -np.inf))
        shares[rows] = granted + (budget - granted.sum(axis=1))[:, None] * weights
        overflows = is_open & (shares[rows] >= capacities[rows])
        is_full[rows] |= overflows
        rows = rows[overflows.any(axis=1)]
    return shares


def _normalised(log_weights: Floats) -> Floats:
    """Return weights that sum to 1 in every row, or are all 0 where all logarithms are -inf."""
    largest = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isneginf(largest), 0.0, largest))
    normalised: Floats = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return normalised
