"""How many samples of each dataset a batch takes: whole numbers that follow the weights as closely as whole numbers can.

All arithmetic is on integers, so every rank and every resumed run gets the same numbers. What a dataset is owed and has not
been given yet is carried from batch to batch; the largest debts are paid first. Weights may change from step to step:
every dataset goes on where it is, so nothing is repeated or lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from shards.errors import SettingsError

UNIT = 2**32
"""One sample, in the units in which shares and debts are counted."""

Knots = tuple[tuple[int, float], ...]
"""Steps with the weight at each of them; straight lines between them, constant before the first and after the last."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """How much of one dataset a mixture takes, in proportion to the weights of the others, from step to step.

    Args:
        knots: (step, weight) by rising steps. A sudden change at step s has knots at s - 1 and at s.

    Raises:
        SettingsError: There is no knot, steps do not rise from 0 or later, or a weight is negative or not finite.
    """

    knots: Knots

    def __post_init__(self) -> None:
        steps = [step for step, _ in self.knots]
        is_rising = steps and steps[0] >= 0 and steps == sorted(set(steps))
        if not is_rising or not all(0 <= weight < math.inf for _, weight in self.knots):
            raise SettingsError(
                f"The weights {self.knots} were asked for; give (step, weight) by rising steps, from 0 on, none negative "
                "and all finite."
            )

    @classmethod
    def constant(cls, weight: float) -> "Weight":
        """Return the same weight at all steps."""
        return cls(knots=((0, weight),))

    def describe(self) -> str:
        """Return the knots as `step:weight`."""
        return "/".join(f"{step}:{weight!r}" for step, weight in self.knots)

    def at(self, step: int) -> Fraction:
        """Return the weight at a step, exactly."""
        before = [knot for knot in self.knots if knot[0] <= step]
        after = [knot for knot in self.knots if knot[0] > step]
        if not before or not after:
            return Fraction((before[-1] if before else after[0])[1])
        (start, low), (end, high) = before[-1], after[0]
        return Fraction(low) + (Fraction(high) - Fraction(low)) * Fraction(step - start, end - start)


EQUAL = Weight.constant(1.0)
"""What every dataset has unless told otherwise."""


@lru_cache(maxsize=1024)
def shares(weights: tuple[Weight, ...], step: int) -> tuple[int, ...]:
    """Return what each dataset is owed of one sample at a step, in UNITs: proportional to the weights, adding up to UNIT.

    Raises:
        SettingsError: All weights are zero.
    """
    values = [weight.at(step) for weight in weights]
    total = sum(values)
    if not total:
        raise SettingsError(f"At step {step} all weights of the mixture are zero; give some dataset a weight.")
    exact = [value * UNIT / total for value in values]
    rounded = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: (rounded[place] - exact[place], place))
    for place in by_remainder[: UNIT - sum(rounded)]:
        rounded[place] += 1
    return tuple(rounded)


def last_change(weights: Sequence[Weight]) -> int:
    """Return the step from which on no weight changes."""
    return max(step for weight in weights for step, _ in weight.knots)


def require_weight_at_all_steps(weights: tuple[Weight, ...]) -> None:
    """Raise SettingsError if all weights are zero at some step: between knots they are not unless they are at the knots."""
    for step in sorted({0, *(step for weight in weights for step, _ in weight.knots)}):
        shares(weights, step)


def quotas(owed_of_one: Sequence[int], debts: Sequence[int], batch: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how many samples of each dataset the next batch takes, `batch` in all, and the debts that remain.

    Args:
        owed_of_one: The shares of the step; a dataset whose share is zero gets nothing, whatever it is owed.
        debts: What each dataset is owed from before, in UNITs, negative if it has been given too much; adding up to 0.
        batch: Samples of the batch.
    """
    owed = [debt + batch * share for debt, share in zip(debts, owed_of_one, strict=True)]
    taken = [max(0, amount // UNIT) if share else 0 for amount, share in zip(owed, owed_of_one, strict=True)]
    while sum(taken) < batch:
        place = max((p for p, share in enumerate(owed_of_one) if share), key=lambda p: (owed[p] - taken[p] * UNIT, -p))
        taken[place] += 1
    while sum(taken) > batch:
        place = min((p for p, count in enumerate(taken) if count), key=lambda p: (owed[p] - taken[p] * UNIT, p))
        taken[place] -= 1
    return tuple(taken), tuple(amount - count * UNIT for amount, count in zip(owed, taken, strict=True))
