"""Budgets of tokens over modalities: shares are drawn from Dirichlet distributions, and what one cannot use others get."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.masking.allotment import allotted
from pipelines.masking.dirichlet import log_gammas
from pipelines.masking.distinct import DistinctTokens
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ragged import Int64s
from pipelines.masking.ranking import ranked_plan
from pipelines.masking.shares import require_within
from pipelines.masking.span_budget import SpanBudget
from pipelines.masking.spans import Sentinels
from pipelines.modalities import Modality, Text
from pipelines.randomness import Floats
from shards.errors import SettingsError, did_you_mean

_MOST_ALPHA = 1e6


@dataclass(frozen=True, kw_only=True)
class VisibleBudget:
    """See exactly `visible` tokens of all modalities together, and predict all others (Bachmann et al., arXiv:2204.01678).

    Shares of the budget are drawn from a symmetric Dirichlet distribution, rounded by largest remainder; tokens of a
    modality are drawn at random. What a modality cannot use (it has too few tokens in this sample, or is absent) is
    given to the others in proportion, so that the budget is spent exactly wherever the sample has as many tokens.

    Args:
        visible: Tokens that the encoder sees of each sample.
        alpha: Concentration: 1 makes all shares as likely, more makes them equal, less leaves most modalities out.

    Raises:
        SettingsError: The budget has no token, or alpha is not above 0 and at most 10^6.
    """

    visible: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.visible < 1:
            raise SettingsError(f"A budget of {self.visible} visible tokens was asked for; give at least 1.")
        require_within("concentration alpha", self.alpha, least=1e-6, most=_MOST_ALPHA)

    def plan_jointly(self, context: MaskContext, *, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
        """Return the plans by the name of the modality; every draw comes from `context.draws`."""
        num_real = _num_real(context, modalities)
        alphas = np.full(num_real.shape, self.alpha)
        log_weights = log_gammas(context.draws, alphas, purpose="mask/budget/visible")
        num_visible = allotted(self.visible, log_weights=log_weights, capacities=num_real)
        return {
            modality.name: ranked_plan(
                context.draws.uniforms(modality.num_tokens, purpose=f"mask/{modality.name}"),
                num_real=num_real[:, column],
                num_hidden=(num_real - num_visible)[:, column],
            )
            for column, modality in enumerate(modalities)
        }


@dataclass(frozen=True, kw_only=True)
class Alpha:
    """Concentrations of one modality among the inputs and among the targets; 0 leaves it out.

    Raises:
        SettingsError: A concentration is not 0 to 10^6.
    """

    name: str
    inputs: float = 0.0
    targets: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.inputs, self.targets):
            require_within(f"concentration alpha of '{self.name}'", value, least=0.0, most=_MOST_ALPHA)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """One way to share the budgets, which a sample draws with a chance in proportion to `weight`.

    Modalities without an `Alpha` are left out.

    Raises:
        SettingsError: The weight is not above 0, a modality stands twice, or none is among the inputs or the targets.
    """

    name: str
    alphas: tuple[Alpha, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < np.inf:
            raise SettingsError(f"The shares '{self.name}' have the weight {self.weight}; give one above 0.")
        if len({alpha.name for alpha in self.alphas}) < len(self.alphas):
            raise SettingsError(f"The shares '{self.name}' have two alphas for one modality; give one for each.")
        if not any(alpha.inputs for alpha in self.alphas) or not any(alpha.targets for alpha in self.alphas):
            raise SettingsError(f"The shares '{self.name}' have no inputs or no targets; give some alpha above 0.")

    def concentrations(self, names: Sequence[str]) -> list[float]:
        """Return the concentrations of the modalities `names` among the inputs, then those among the targets.

        Raises:
            SettingsError: An alpha is that of none of them.
        """
        given = {alpha.name: alpha for alpha in self.alphas}
        for name in given:
            if name not in names:
                raise SettingsError(
                    f"The shares '{self.name}' have an alpha for '{name}', but the modalities are "
                    f"{', '.join(names)}.{did_you_mean(name, names)}"
                )
        alphas = [given.get(name) for name in names]
        return [alpha.inputs if alpha else 0.0 for alpha in alphas] + [
            alpha.targets if alpha else 0.0 for alpha in alphas
        ]


@dataclass(frozen=True, kw_only=True)
class TokenBudgets:
    """See `inputs` tokens and predict `targets` others, of all modalities together (Mizrahi et al., arXiv:2312.06647).

    The same, with a mixture of distributions: Bachmann et al., arXiv:2406.09406.

    Shares of both budgets are drawn from Dirichlet distributions, those of one of the `mixture`, and rounded by largest
    remainder. Tokens of a grid are drawn at random, first the inputs, then the targets. Text is read with its hidden spans
    replaced by sentinels, and the spans are predicted (`SpanBudget`).

    What a modality cannot use (it has too few tokens in this sample, or is absent) is given in proportion to the others
    of the same shares, so that both budgets are spent exactly wherever those have as many tokens. The published code
    loses it, and draws how much of a text is hidden regardless of the budget.

    Args:
        inputs: Tokens that the encoder sees of each sample.
        targets: Tokens that are predicted of each sample.
        mixture: Ways to share them.
        sentinels: Ids that stand for spans; needed if there is text.
        mean_span: Tokens in a span of text, on average; above 1.

    Raises:
        SettingsError: A budget has no token, there is no way to share it, two have one name, or spans are too short.
    """

    inputs: int
    targets: int
    mixture: tuple[Shares, ...]
    sentinels: Sentinels | None = None
    mean_span: float = 3.0

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.targets < 1:
            raise SettingsError(
                f"Budgets of {self.inputs} inputs and {self.targets} targets were asked for; give at least 1 of each."
            )
        if not self.mixture or len({shares.name for shares in self.mixture}) < len(self.mixture):
            raise SettingsError("Budgets need at least one way to share them, and each a name of its own.")
        if not self.mean_span > 1:
            raise SettingsError(f"Spans of {self.mean_span} tokens were asked for; give a mean above 1.")

    def plan_jointly(self, context: MaskContext, *, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
        """Return the plans by the name of the modality; every draw comes from `context.draws`.

        Raises:
            SettingsError: An alpha is that of no modality, or there is text but no sentinels.
        """
        num_real = _num_real(context, modalities)
        inputs, targets = self._log_weights(context, [modality.name for modality in modalities])
        num_inputs = allotted(self.inputs, log_weights=inputs, capacities=num_real)
        parts = [
            self._part(modality, num_real[:, column], num_inputs[:, column])
            for column, modality in enumerate(modalities)
        ]
        capacities = np.stack([part.most_targets for part in parts], axis=1)
        num_targets = allotted(self.targets, log_weights=targets, capacities=capacities)
        return {
            modality.name: part.plan(context, modality=modality, num_targets=num_targets[:, column])
            for column, (modality, part) in enumerate(zip(modalities, parts, strict=True))
        }

    def _log_weights(self, context: MaskContext, names: Sequence[str]) -> tuple[Floats, Floats]:
        """Return logarithms of the weights of the modalities among inputs and targets, both [batch, modalities]."""
        weights = np.array([shares.weight for shares in self.mixture])
        ends = weights.cumsum() / weights.sum()
        chance = context.draws.uniforms(1, purpose="mask/budget/mixture")[:, 0]
        alphas = np.array([shares.concentrations(names) for shares in self.mixture])
        drawn = alphas[np.searchsorted(ends[:-1], chance, side="right")]
        inputs, targets = np.split(log_gammas(context.draws, drawn, purpose="mask/budget"), 2, axis=1)
        return inputs, targets

    def _part(self, modality: Modality, num_real: Int64s, num_inputs: Int64s) -> DistinctTokens | SpanBudget:
        """Return how one modality spends its inputs."""
        if not isinstance(modality, Text):
            return DistinctTokens(num_real=num_real, num_inputs=num_inputs)
        if self.sentinels is None:
            raise SettingsError(
                f"'{modality.name}' is text, whose hidden spans are replaced by sentinels, but the budgets have none; "
                "give `sentinels` the first of their ids and how many there are."
            )
        return SpanBudget.of(
            num_real=num_real, num_inputs=num_inputs, mean_span=self.mean_span, sentinels=self.sentinels
        )


def _num_real(context: MaskContext, modalities: Sequence[Modality]) -> Int64s:
    """Return how many tokens each sample has, int64 [batch, modalities]."""
    return np.stack([context.num_real(modality) for modality in modalities], axis=1)
