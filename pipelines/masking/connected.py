"""Masks of connected regions: the tokens nearest to random seeds are hidden."""

from dataclasses import dataclass

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, floor_share, require_share
from pipelines.modalities import Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ConnectedPatches:
    """Hide the share `ratio` of the tokens that lie nearest to `seeds` random places (Pang et al., arXiv:2203.06604, "block").

    On a grid the seeds are random points of it, and distance is Euclidean, in tokens. With `coordinates`, the name of a
    stored target [tokens, dims], seeds are random real tokens and distance is between those coordinates: of groups
    of points, say. floor(tokens * ratio) are hidden (the product of the decimal number as written), at least one, never
    all.

    Raises:
        SettingsError: The ratio is not between 0 and 1, or there is no seed.
    """

    ratio: float
    seeds: int = 1
    coordinates: str = ""

    def __post_init__(self) -> None:
        require_share(self.ratio)
        if self.seeds < 1:
            raise SettingsError(f"Regions around {self.seeds} seeds were asked for; give at least 1.")

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that plans are made from."""
        return (self.coordinates,) if self.coordinates else ()

    def num_target(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` are hidden."""
        return between_one_and_all_but_one(floor_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            MissingTargetError: The coordinates are not in the batch.
            SettingsError: The coordinates are not finite numbers, one vector for each token.
        """
        places, seeds = (
            self._grown_on_coordinates(context, modality)
            if self.coordinates
            else self._grown_on_grid(context, modality)
        )
        squared = np.full(places.shape[:2], np.inf)
        for seed in range(self.seeds):
            np.minimum(squared, np.square(places - seeds[:, seed, None]).sum(axis=-1), out=squared)
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, self.num_target, most=modality.num_tokens)
        return ranked_plan(-squared, num_real=num_real, num_hidden=num_hidden)

    def _grown_on_grid(self, context: MaskContext, modality: Modality) -> tuple[Floats, Floats]:
        """Return where tokens [batch, tokens, axes] and seeds [batch, seeds, axes] are, in tokens."""
        axes = len(modality.grid)
        draws = context.draws.uniforms(self.seeds * axes, purpose=f"mask/{modality.name}")
        places = np.indices(modality.grid, dtype=np.float64).reshape(axes, -1).T
        seeds = draws.reshape(-1, self.seeds, axes) * modality.grid - 0.5
        return np.broadcast_to(places, (len(draws), *places.shape)), seeds

    def _grown_on_coordinates(self, context: MaskContext, modality: Modality) -> tuple[Floats, Floats]:
        """Return the stored coordinates [batch, tokens, dims] and those of the seeds [batch, seeds, dims]."""
        places = context.stored_of(self.coordinates, modality=modality).astype(np.float64)
        if places.ndim != 3 or not np.isfinite(places).all():
            raise SettingsError(
                f"The stored target '{self.coordinates}' of shape {places.shape} is not made of finite coordinates, "
                f"one vector for each token; '{modality.name}' cannot be masked by it."
            )
        draws = context.draws.uniforms(self.seeds, purpose=f"mask/{modality.name}")
        chosen = np.floor(draws * context.num_real(modality)[:, None]).astype(np.int64)
        return places, np.take_along_axis(places, chosen[:, :, None], axis=1)
