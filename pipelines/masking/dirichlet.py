"""Random shares: the logarithms of gamma variates, which become a Dirichlet draw once they are divided by their sum."""

import numpy as np
import numpy.typing as npt

from pipelines.randomness import Draws, Floats

ATTEMPTS = 16
"""An attempt fails with a chance of at most 0.05, so all of them once in 10^20 draws, which then get the typical value."""


def log_gammas(draws: Draws, alphas: Floats, *, purpose: str) -> Floats:
    """Return logarithms of gamma variates of shape `alphas` (0 or above, one for each sample and part), [batch, parts].

    exp(x) divided by its sum over the parts is a draw from the Dirichlet distribution. Logarithms keep what would
    underflow: with alpha 0.01 half of the variates are below 1e-30. Where alpha is 0 the result is -inf. The method is that of
    Marsaglia and Tsang (A simple method for generating gamma variables, ACM TOMS 2000), exact but for rounding, with
    their boost by a power of a uniform number below alpha 1.
    """
    is_drawn = alphas > 0
    shapes = np.where(is_drawn, alphas, 1.0)
    is_small = shapes < 1
    found = _log_large_gammas(draws, shapes + is_small, purpose=purpose)
    boosts = np.log1p(-draws.uniforms(alphas.shape[1], purpose=f"{purpose}/boost")) / shapes
    return np.where(is_drawn, found + np.where(is_small, boosts, 0.0), -np.inf)


def _log_large_gammas(draws: Draws, shapes: Floats, *, purpose: str) -> Floats:
    """Return logarithms of gamma variates of `shapes` [batch, parts], all of them 1 or above."""
    scale = shapes - 1 / 3
    found = np.log(scale)
    pending = np.ones(shapes.shape, dtype=np.bool_)
    rows = np.arange(len(shapes))
    for attempt in range(ATTEMPTS):
        some = Draws(tickets=draws.tickets[rows])
        values, is_accepted = _attempt(some, scale[rows], purpose=f"{purpose}/{attempt}")
        taken = pending[rows] & is_accepted
        found[rows] = np.where(taken, values, found[rows])
        pending[rows] &= ~is_accepted
        rows = np.flatnonzero(pending.any(axis=1))
        if not rows.size:
            break
    return found


def _attempt(draws: Draws, scale: Floats, *, purpose: str) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return candidates, as logarithms, and which of them are accepted; both [batch, parts]."""
    radius, angle, chance = np.split(draws.uniforms(3 * scale.shape[1], purpose=purpose), 3, axis=1)
    normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    root = np.maximum(1 + normal / np.sqrt(9 * scale), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_cube = 3 * np.log(root)
        bound = normal**2 / 2 + scale * (1 - root**3 + log_cube)
        return np.log(scale) + log_cube, (root > 0) & (np.log1p(-chance) < bound)
