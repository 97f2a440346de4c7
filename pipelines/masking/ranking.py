"""Plans from a score for every token: the tokens with the highest scores are hidden."""

from collections.abc import Callable

import numpy as np

from pipelines.masking.plan import MaskPlan
from pipelines.masking.ragged import Bools, Int64s, Ragged, beyond, chosen_of, plan_of
from pipelines.randomness import Floats


def ranked_plan(scores: Floats, *, num_real: Int64s, num_hidden: Int64s) -> MaskPlan:
    """Return the plan that hides the `num_hidden` [batch] real tokens with the highest `scores` [batch, tokens].

    The first `num_real` [batch] tokens of a row are real. Visible and target tokens come in ascending order of score;
    equal scores are ordered by token.
    """
    order = np.argsort(np.where(beyond(num_real, scores.shape[1]), np.inf, scores), axis=1, kind="stable")
    rows = Ragged(np.full_like(num_real, order.shape[1]), order.ravel())
    num_visible = num_real - num_hidden
    return plan_of(
        rows.window(starts=np.zeros_like(num_real), counts=num_visible),
        rows.window(starts=num_visible, counts=num_hidden),
    )


def divided_plan(hidden: Bools, *, num_real: Int64s) -> MaskPlan:
    """Return the plan that hides the real tokens where `hidden` [batch, tokens] is true; tokens ascend."""
    real = ~beyond(num_real, hidden.shape[1])
    return plan_of(chosen_of(real & ~hidden), chosen_of(real & hidden))


def counts_of(num_real: Int64s, rule: Callable[[int], int], *, most: int) -> Int64s:
    """Return `rule` of the real tokens of every sample, int64 [batch]; in samples with fewer than two tokens none count.

    `most` is how many tokens there can be: what `rule` refuses there, it refuses before any sample is looked at.
    """
    rule(most)
    return each_once(num_real, lambda tokens: rule(tokens) if tokens > 1 else 0)


def each_once(counts: Int64s, rule: Callable[[int], int]) -> Int64s:
    """Return `rule` of every count, int64 [batch], computed once for every different one."""
    different, where = np.unique(counts, return_inverse=True)
    return np.array([rule(int(count)) for count in different], dtype=np.int64)[where]


def top_then_random(scores: Floats, noise: Floats, *, num_real: Int64s, num_top: Int64s) -> Floats:
    """Return scores that put the `num_top` [batch] real tokens with the highest `scores` first, all others at random.

    `noise`, in [0, 1), orders the others, and decides between equal scores.
    """
    shuffled = np.argsort(noise, axis=1, kind="stable")
    real = np.where(beyond(num_real, scores.shape[1]), -np.inf, scores)
    falling = np.argsort(-np.take_along_axis(real, shuffled, axis=1), axis=1, kind="stable")
    order = np.take_along_axis(shuffled, falling, axis=1)
    is_top = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(is_top, order, ~beyond(num_top, scores.shape[1]), axis=1)
    return noise + is_top
