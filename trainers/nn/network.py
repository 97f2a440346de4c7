"""The interface every pretraining network offers to the loop and to evaluation."""

from abc import abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan


class Network(nn.Module):
    """A network that predicts targets at masked tokens, and encodes whole samples.

    Inputs are given by field. Pictures are [batch, channels, side, side], either uint8 pixels, which are normalised
    inside, or floating point numbers, which are taken as normalised already. `width` is the size of an encoded token;
    the first `num_prefix_tokens` encoded tokens (a class token) belong to no patch.
    """

    width: int
    num_prefix_tokens: int

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at `plan.target`, in its order: [batch, target, dim] by name of the target.

        A plan may ask for any tokens as targets, visible ones included: a target of `arange(tokens)` gives the
        prediction for the whole picture.
        """

    @abstractmethod
    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of the whole sample, nothing masked, after the final norm; prefix tokens come first."""

    def pool(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
        """Return one vector per sample: the mean of the encoded patch tokens, without the prefix tokens."""
        return tokens[:, self.num_prefix_tokens :].mean(dim=1)
