"""Moving tokens by index, where a mask plan meets a tensor of tokens; and the mean of those that are some."""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, take_along_dim

from pipelines.masking.plan import MaskPlan
from trainers.nn.network import Places


def gather_tokens(
    tokens: Shaped[Tensor, "batch tokens width"], index: Int[Tensor, "batch chosen"]
) -> Shaped[Tensor, "batch chosen width"]:
    """Return the tokens, vectors or ids, at `index`, in the order of `index`, which is the token's place in its grid."""
    return take_along_dim(tokens, index[:, :, None], dim=1)


def scatter_tokens(
    tokens: Float[Tensor, "batch chosen width"],
    index: Int[Tensor, "batch chosen"],
    *,
    filler: Float[Tensor, "1 1 width"],
    length: int,
) -> Float[Tensor, "batch {length} width"]:
    """Return a sequence of `length` tokens that holds `tokens` at `index` and `filler` everywhere else."""
    batch, _, width = tokens.shape
    blank = filler.to(tokens.dtype).expand(batch, length, width)
    return blank.scatter(1, index[:, :, None].expand(-1, -1, width), tokens)


def tokens_at(
    encoded: Float[Tensor, "batch encoded width"], plan: MaskPlan, places: Places
) -> Float[Tensor, "batch *places width"]:
    """Return what an encoder of all places, class token first, says at some of them; of a sample, the class token."""
    if places == "sample":
        return encoded[:, 0]
    if places == "all":
        return encoded[:, 1:]
    return gather_tokens(encoded[:, 1:], plan.target if places == "target" else plan.visible)


def mean_token(
    tokens: Float[Tensor, "batch tokens width"], padding: Bool[Tensor, "batch tokens"] | None
) -> Float[Tensor, "batch width"]:
    """Return the mean of the tokens of each sample that are no padding; zeros where all are, or there is none."""
    if padding is None:
        return tokens.sum(dim=1) / max(tokens.shape[1], 1)
    real = ~padding[..., None]
    return (tokens * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
