"""An autoencoder with a codebook in its middle: what it learns is a tokenizer.

The network itself is `pipelines.tokenizers.vq.VqTokenizer`, which is used without trainers once it has learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq.codebook import Codebook
from pipelines.tokenizers.vq.contents import Tokenised
from pipelines.tokenizers.vq.spec import Gives, TokenizerSpec
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from shards.errors import SettingsError
from trainers.nn.network import Network, Output, require_places

COMMITMENT = "commitment"
"""The penalty that the network reports: how far tokens are from their codes."""


@dataclass(frozen=True, kw_only=True)
class VqAutoencoder:
    """A transformer of `depth` blocks, a codebook, and a transformer of `decoder_depth` blocks of the same width.

    It gives back its "input", or the "features" that a teacher has for each token of the input.
    """

    gives: Gives
    width: int
    depth: int
    heads: int
    decoder_depth: int
    codebook: Codebook

    def build(self, modalities: Sequence[Tokenised], *, outputs: Mapping[str, Output]) -> "VqAutoencoderNetwork":
        """Return the network; linear weights start from a truncated normal of standard deviation 0.02.

        Raises:
            SettingsError: There is not exactly one modality and one target, or they do not fit each other.
        """
        if len(modalities) != 1 or not isinstance(modalities[0], Image | LogMel | Raster | Points | Features):
            names = ", ".join(modality.name for modality in modalities)
            raise SettingsError(
                f"A tokenizer is trained on one picture, sound, map, cloud or feature map, not on {names}."
            )
        if len(outputs) != 1:
            raise SettingsError(f"A tokenizer learns to give back one thing, not {', '.join(outputs) or 'nothing'}.")
        require_places(outputs, possible=("all",), architecture="vq_autoencoder")
        ((target, output),) = outputs.items()
        spec = TokenizerSpec(
            modality=modalities[0],
            gives=self.gives,
            outputs=output.dim,
            width=self.width,
            depth=self.depth,
            decoder_depth=self.decoder_depth,
            heads=self.heads,
            codebook=self.codebook,
        )
        return VqAutoencoderNetwork(spec, target=target)


class VqAutoencoderNetwork(Network):
    """A tokenizer that learns: what it gives back of each token, and the commitment of its codebook."""

    def __init__(self, spec: TokenizerSpec, *, target: str) -> None:
        super().__init__()
        self.width = spec.width
        self.num_prefix_tokens = 0
        self.target = target
        self.tokenizer = VqTokenizer(spec)

    @property
    def reports(self) -> frozenset[str]:
        """See Network."""
        return frozenset({COMMITMENT})

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return what is given back at all tokens, [batch, tokens, dim] by name of the target, and the penalty.

        Nothing is hidden, so plans are not looked at.
        """
        given = self.tokenizer(inputs[self.tokenizer.spec.modality.name])
        return {self.target: given.values, COMMITMENT: given.commitment}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the encoded tokens before they are quantised."""
        return self.tokenizer.embed(inputs[self.tokenizer.spec.modality.name])
