"""Random masking: every token is as likely to be hidden as any other."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.ranking import counts_of, ranked_plan
from pipelines.masking.shares import between_one_and_all_but_one, remaining_share, require_share
from pipelines.modalities import Modality


@dataclass(frozen=True, kw_only=True)
class RandomPatches:
    """Hide a random share `ratio` of the tokens of each sample (He et al., arXiv:2111.06377, section 3).

    floor(tokens * (1 - ratio)) tokens stay visible, at least one, and at least one is hidden. The product is that of the
    decimal number as written: 10 tokens at ratio 0.9 keep 1, where a product of binary fractions would keep 0. On a clip
    this is random masking of space and time together (Feichtenhofer et al., arXiv:2205.09113, section 3). Padding
    is neither counted nor hidden.

    Raises:
        SettingsError: The ratio is not between 0 and 1.
    """

    ratio: float

    def __post_init__(self) -> None:
        require_share(self.ratio)

    def num_visible(self, num_tokens: int) -> int:
        """Return how many of `num_tokens` stay visible."""
        return between_one_and_all_but_one(remaining_share(num_tokens, self.ratio), num_tokens)

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        """Return the plan of the samples of a batch; every draw comes from `context.draws`."""
        noise = context.draws.uniforms(modality.num_tokens, purpose=f"mask/{modality.name}")
        num_real = context.num_real(modality)
        num_hidden = counts_of(num_real, lambda tokens: tokens - self.num_visible(tokens), most=modality.num_tokens)
        return ranked_plan(noise, num_real=num_real, num_hidden=num_hidden)


def random_plan(noise: Float[Tensor, "batch tokens"], num_visible: int) -> MaskPlan:
    """Return the plan whose visible tokens are the `num_visible` with the least noise; the rest are the target.

    Both are in order of noise; equal noise is ordered by token.
    """
    order = noise.argsort(dim=1, stable=True)
    return MaskPlan(visible=order[:, :num_visible], target=order[:, num_visible:])
