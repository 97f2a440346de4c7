"""Random masking: every patch is as likely to be hidden as any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality
from pipelines.randomness import keyed_uniforms
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class RandomPatches:
    """Hide a random share `ratio` of the patches of each sample (He et al., arXiv:2111.06377, section 3).

    floor(patches * (1 - ratio)) patches stay visible, at least one, and at least one is hidden. The product is that of
    the decimal number as written: 10 patches at ratio 0.9 keep 1, where a product of binary fractions would keep 0.

    Raises:
        SettingsError: The ratio is not between 0 and 1.
    """

    ratio: float

    def __post_init__(self) -> None:
        require_share(self.ratio)

    def num_visible(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` stay visible."""
        return between_one_and_all_but_one(floor(num_tokens * (1 - Fraction(str(self.ratio)))), num_tokens)

    def plan(self, keys: Sequence[str], *, modality: Modality, seed: int, epoch: int) -> MaskPlan:
        """Return the plan of the samples `keys`; every draw comes from `(seed, epoch, key)`."""
        noise = keyed_uniforms(keys, modality.num_tokens, seed=seed, epoch=epoch, purpose=f"mask/{modality.field}")
        return random_plan(torch.from_numpy(noise), self.num_visible(modality.num_tokens))


def random_plan(noise: Float[Tensor, "batch tokens"], num_visible: int) -> MaskPlan:
    """Return the plan whose visible tokens are the `num_visible` with the least noise; the rest are the target.

    Both are in order of noise; equal noise is ordered by token.
    """
    order = noise.argsort(dim=1, stable=True)
    return MaskPlan(visible=order[:, :num_visible], target=order[:, num_visible:])


def require_share(ratio: float) -> None:
    """Raise SettingsError unless `ratio` is a share of patches that leaves some visible and some hidden."""
    if not 0 < ratio < 1:
        raise SettingsError(f"A mask ratio of {ratio} was asked for; it has to be above 0 and below 1.")


def between_one_and_all_but_one(count: int, num_tokens: int) -> int:
    """Return `count`, moved so that at least one token is counted and at least one is not.

    Raises:
        SettingsError: There are fewer than two tokens.
    """
    if num_tokens < 2:
        raise SettingsError(f"Masking needs at least two tokens, but there is {num_tokens}; use smaller patches.")
    return min(max(count, 1), num_tokens - 1)
