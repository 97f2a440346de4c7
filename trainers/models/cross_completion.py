"""One encoder for two pictures of a scene: what is hidden of the first is predicted with the help of the second.

Weinzaepfel et al., arXiv:2210.10716, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image, Modality
from shards.errors import SettingsError
from trainers.nn.blocks import layer_norm
from trainers.nn.cross_decoder import CrossDecoder
from trainers.nn.embed import every_token, image_patches
from trainers.nn.gather import gather_tokens
from trainers.nn.initialise import xavier_
from trainers.nn.network import Network, Output, require_places
from trainers.nn.visible_encoder import VisibleEncoder


@dataclass(frozen=True, kw_only=True)
class CrossCompletion:
    """A vision transformer of `depth` blocks with `heads` attention heads for either picture, and a decoder for the first.

    The first modality of the recipe is completed, the second one helps. Neither has a class token.
    """

    width: int
    depth: int
    heads: int
    decoder: CrossDecoder

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "CrossCompletionNetwork":
        """Return the network with Xavier-uniform weights and mask tokens of standard deviation 0.02.

        Raises:
            SettingsError: There are not two pictures of one size and patch, or something is to be predicted elsewhere than
                at the target tokens of the first.
        """
        require_places(outputs, possible=("target",), architecture="cross_completion")
        completed, helping = require_pair(modalities)
        for name, output in outputs.items():
            if output.modality != completed.name:
                raise SettingsError(
                    f"'{name}' is to be predicted of '{output.modality}', but cross_completion completes the first picture, "
                    f"'{completed.name}'. Give --set targets.{name}.modality={completed.name}."
                )
        return CrossCompletionNetwork(self, completed, helping, outputs=outputs)


class CrossCompletionNetwork(Network):
    """Encoder, decoder and one linear head for every target."""

    def __init__(
        self, config: CrossCompletion, completed: Image, helping: Image, *, outputs: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.completed = completed
        self.helping = helping
        self.width = config.width
        self.num_prefix_tokens = 0
        self.encoder = VisibleEncoder(
            completed,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            norm=layer_norm(config.width),
            class_token=False,
        )
        self.decoder = config.decoder.build(completed, encoded_width=config.width)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.decoder.width, output.dim) for name, output in outputs.items()}
        )
        xavier_(self.heads)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at the target tokens of the first picture by name of the target, [batch, target, dim]."""
        first, second = plans[self.completed.name], plans[self.helping.name]
        decoded = self.decoder(
            self._encoded(inputs, self.completed, first), first, self._encoded(inputs, self.helping, second), second
        )
        return {name: head(decoded) for name, head in self.heads.items()}

    def _encoded(
        self, inputs: Mapping[str, Tensor], picture: Image, plan: MaskPlan
    ) -> Float[Tensor, "batch visible width"]:
        patches = image_patches(inputs[picture.name], patch=picture.patch)
        encoded: Tensor = self.encoder(gather_tokens(patches, plan.visible), plan.visible)
        return encoded

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of all patches of the first picture, in order, after the final norm; the second is not read."""
        return self._whole(inputs, self.completed)

    def represent_each(
        self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor] | None = None
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """See Network: the mean of the tokens of each picture, to look for one of a pair with the other."""
        return {picture.name: self.pool(self._whole(inputs, picture)) for picture in (self.completed, self.helping)}

    def _whole(self, inputs: Mapping[str, Tensor], picture: Image) -> Float[Tensor, "batch tokens width"]:
        pixels = inputs[picture.name]
        every = every_token(len(pixels), length=picture.num_tokens, device=pixels.device)
        return self._encoded(inputs, picture, MaskPlan(visible=every, target=every[:, :0]))


def require_pair(modalities: Sequence[Modality]) -> tuple[Image, Image]:
    """Return two pictures of one size and patch; raises SettingsError if there are not just these."""
    pictures = [modality for modality in modalities if isinstance(modality, Image)]
    if len(modalities) != 2 or len(pictures) != 2:
        raise SettingsError(
            "cross_completion embeds two pictures of one scene; this recipe has "
            f"{', '.join(f'{modality.name} ({type(modality).__name__})' for modality in modalities) or 'nothing'}."
        )
    completed, helping = pictures
    if (completed.size, completed.patch) != (helping.size, helping.patch):
        raise SettingsError(
            f"The pictures '{completed.name}' and '{helping.name}' share an encoder, but have {completed.size} and "
            f"{helping.size} pixels, in patches of {completed.patch} and {helping.patch}. Set size and patch of both."
        )
    return completed, helping
