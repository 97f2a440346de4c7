"""The interface every pretraining network offers to the loop and to evaluation."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from shards.errors import SettingsError

Places = Literal["target", "visible", "all", "sample"]
"""Where something is predicted: at the target or the visible tokens of the plan, at all tokens, or once for each sample."""


def summary(modality: str) -> str:
    """Return the name of the prediction that is one vector [batch, width] of each sample, made of one modality alone."""
    return f"summary/{modality}"


def matching(first: str, second: str) -> str:
    """Return the name of the prediction that scores pairs of two modalities, [batch, 2]: as they are, and put together.

    In the second column, row i scores the second modality of sample i beside the first of the sample before it.
    """
    return f"matching/{first}/{second}"


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a network is asked for: `dim` values at each of some places of a modality."""

    dim: int
    places: Places = "target"
    modality: str = ""


def require_places(outputs: Mapping[str, Output], *, possible: tuple[Places, ...], architecture: str) -> None:
    """Raise SettingsError if something is to be predicted where an architecture predicts nothing."""
    for name, output in outputs.items():
        if output.places not in possible:
            raise SettingsError(
                f"'{name}' is to be predicted at the places '{output.places}', but {architecture} predicts at "
                f"{' and '.join(possible)}. Change targets.{name}.places, or choose another architecture."
            )


class Network(nn.Module):
    """A network that predicts targets at masked tokens, and encodes whole samples.

    Inputs are given by field. Pictures are [batch, channels, side, side], either uint8 pixels, which are normalised
    inside, or floating point numbers, which are taken as normalised already. `width` is the size of an encoded token;
    the first `num_prefix_tokens` encoded tokens (a class token) belong to no patch.
    """

    width: int
    num_prefix_tokens: int

    @property
    def reports(self) -> frozenset[str]:
        """The names of predictions that are no targets: summaries, scores of pairs, penalties."""
        return frozenset()

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions by the name of the target: [batch, places, dim] where it is predicted, in the plan's order.

        What is predicted once for each sample has no axis of places. Where a network reports a penalty, its name stands
        among the predictions. A plan may ask for any tokens as targets, visible ones included: a target of
        `arange(tokens)` gives the prediction for the whole picture.
        """

    @abstractmethod
    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of the whole sample, nothing masked, after the final norm; prefix tokens come first."""

    def represent(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch width"]:
        """Return one vector for each sample, nothing masked.

        `lengths` are those of the batch: tokens beyond them, and modalities that a sample lacks, do not count.
        """
        return self.pool(self.encode(inputs))

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """Return one vector for each sample of each modality alone, to look for a sample by one with the other.

        Empty where the network has one modality.
        """
        return {}

    def pool(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
        """Return one vector per sample: the mean of the encoded patch tokens, without the prefix tokens."""
        return tokens[:, self.num_prefix_tokens :].mean(dim=1)
