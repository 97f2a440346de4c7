"""Masking by a stored score: what a teacher attends to is hidden, or is what stays visible."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, each_once, ranked_plan, top_then_random
from pipelines.masking.shares import (
    between_one_and_all_but_one,
    floor_share,
    remaining_share,
    require_share,
    require_within,
)
from pipelines.modalities import Modality
from pipelines.randomness import Floats
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ScoredPatches:
    """Hide the share `ratio` of the tokens with the highest or the lowest stored `score`.

    With `temperature` 0 the order is that of the scores (Kakogeorgiou et al., arXiv:2203.12719). Above 0,
    tokens are drawn without replacement in proportion to score ** (1 / temperature): hiding the "lowest" at 1 draws what
    stays visible in proportion to the score (attentive sampling: Hou et al., arXiv:2208.06049). The share
    `random` of the hidden tokens, rounded down, is drawn from all others regardless of score.

    floor(tokens * (1 - ratio)) stay visible, at least one and never all (exact, as random masking).

    Args:
        score: The name of a stored target with one number for each token; nonnegative if there is a temperature.
        ratio: The share of tokens that is hidden.
        hidden: Which end is hidden.
        temperature: How much chance there is in the order.
        random: The share of the hidden tokens that is drawn regardless of score.

    Raises:
        SettingsError: A share is not between 0 and 1, the temperature is negative, or `hidden` is no end.
    """

    score: str
    ratio: float
    hidden: Literal["highest", "lowest"] = "highest"
    temperature: float = 0.0
    random: float = 0.0

    def __post_init__(self) -> None:
        require_share(self.ratio)
        require_within("share of hidden tokens drawn at random", self.random, least=0.0, most=1.0)
        require_within("temperature", self.temperature, least=0.0, most=1e6)
        if self.hidden not in ("highest", "lowest"):
            raise SettingsError(f"Hiding the '{self.hidden}' scores was asked for; give highest or lowest.")

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored targets that plans are made from."""
        return (self.score,)

    def num_visible(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` stay visible."""
        return between_one_and_all_but_one(remaining_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`.

        Raises:
            MissingTargetError: The score is not in the batch.
            SettingsError: The scores are not one finite number for each token, or negative with a temperature.
        """
        purpose = f"mask/{modality.name}"
        ranked = self._perturbed(self._scores(context, modality), context, purpose=f"{purpose}/temperature")
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, lambda tokens: tokens - self.num_visible(tokens), most=modality.num_tokens)
        num_random = each_once(num_hidden, lambda hidden: floor_share(hidden, self.random))
        noise = context.draws.uniforms(modality.num_tokens, purpose=purpose)
        scores = top_then_random(
            ranked if self.hidden == "highest" else -ranked, noise, num_real=num_real, num_top=num_hidden - num_random
        )
        return ranked_plan(scores, num_real=num_real, num_hidden=num_hidden)

    def _scores(self, context: MaskContext, modality: Modality) -> Floats:
        """Return the scores [batch, tokens], checked."""
        scores = context.stored_of(self.score, modality=modality).astype(np.float64)
        if scores.ndim != 2 or not np.isfinite(scores).all() or (self.temperature > 0 and scores.min(initial=0) < 0):
            raise SettingsError(
                f"The stored target '{self.score}' of shape {scores.shape} is not one finite number for each token, "
                f"nonnegative where there is a temperature; '{modality.name}' cannot be masked by it."
            )
        return scores

    def _perturbed(self, scores: Floats, context: MaskContext, *, purpose: str) -> Floats:
        """Return scores whose order is drawn at the temperature: log scores with Gumbel noise (arXiv:1903.06059)."""
        if self.temperature == 0:
            return scores
        uniforms = context.draws.uniforms(scores.shape[1], purpose=purpose)
        gumbel = -np.log(-np.log(np.maximum(uniforms, np.finfo(np.float64).tiny)))
        with np.errstate(divide="ignore"):
            return np.log(scores) / self.temperature + gumbel
