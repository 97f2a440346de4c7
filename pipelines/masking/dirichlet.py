"""Random shares: the logarithms of gamma variates, which become a Dirichlet draw once they are divided by their sum."""

import numpy as np
import numpy.typing as npt

from pipelines.randomness import GOLDEN_GAMMA, Draws, Floats, mix64

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
    shapes = np.where(is_drawn, alphas, 1.0).ravel()
    is_small = shapes < 1
    parts = _part_draws(draws, alphas.shape[1], purpose=purpose)
    boosts = np.log1p(-parts.uniforms(1, purpose="boost")[:, 0]) / shapes
    found = _log_large_gammas(parts, shapes + is_small) + np.where(is_small, boosts, 0.0)
    return np.where(is_drawn, found.reshape(alphas.shape), -np.inf)


def _part_draws(draws: Draws, parts: int, *, purpose: str) -> Draws:
    """Return draws of their own for every part of every sample, one row behind the other."""
    numbers = np.arange(1, parts + 1, dtype=np.uint64) * GOLDEN_GAMMA
    return Draws(tickets=mix64(draws.hashes(purpose)[:, None] + numbers).ravel())


def _log_large_gammas(draws: Draws, shapes: Floats) -> Floats:
    """Return logarithms of gamma variates of `shapes` [variates], all of them 1 or above."""
    scale = shapes - 1 / 3
    found = np.log(scale)
    pending = np.arange(len(shapes))
    for attempt in range(ATTEMPTS):
        some = Draws(tickets=draws.tickets[pending])
        values, is_accepted = _attempt(some, scale[pending], purpose=f"attempt {attempt}")
        found[pending[is_accepted]] = values[is_accepted]
        pending = pending[~is_accepted]
        if not pending.size:
            break
    return found


def _attempt(draws: Draws, scale: Floats, *, purpose: str) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return candidates, as logarithms, and which of them are accepted; both [variates]."""
    radius, angle, chance = draws.uniforms(3, purpose=purpose).T
    normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    root = np.maximum(1 + normal / np.sqrt(9 * scale), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_cube = 3 * np.log(root)
        bound = normal**2 / 2 + scale * (1 - root**3 + log_cube)
        return np.log(scale) + log_cube, (root > 0) & (np.log1p(-chance) < bound)
