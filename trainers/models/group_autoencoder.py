"""An encoder that sees visible groups of points only, and a light decoder that predicts the points of the others.

Pang et al., arXiv:2203.06604, section 3. It is no `MaskedAutoencoder`, since its tokens have no grid: they are groups made of
each cloud, and where they are is told anew before every block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality, Points
from pipelines.tokenizers.vq.groups import PointGroups, groups_as_placed
from shards.errors import SettingsError
from trainers.nn.embed import only_modality
from trainers.nn.group_parts import GroupDecoder, GroupEmbed, PlacedBlocks, groups_at
from trainers.nn.initialise import TOKEN_STD, truncated_normal_
from trainers.nn.network import Network, Output, require_places


@dataclass(frozen=True, kw_only=True)
class GroupAutoencoder:
    """A transformer of `depth` blocks with `heads` attention heads, and a shallower one of the same width as decoder.

    In training, branches are left out of samples with a probability that grows up to `drop_path`, in both.
    """

    width: int
    depth: int
    heads: int
    decoder_depth: int
    decoder_heads: int
    drop_path: float

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "GroupAutoencoderNetwork":
        """Return the network with weights and mask token from a truncated normal of standard deviation 0.02.

        Raises:
            SettingsError: The modality is no cloud, or something is to be predicted elsewhere than at the target groups.
        """
        modality = only_modality(modalities, architecture="group_autoencoder")
        if not isinstance(modality, Points):
            raise SettingsError(f"group_autoencoder embeds a cloud of points; '{modality.name}' is none.")
        require_places(outputs, possible=("target",), architecture="group_autoencoder")
        return GroupAutoencoderNetwork(self, modality, outputs=outputs)


class GroupAutoencoderNetwork(Network):
    """Embedding of groups, encoder, decoder, and one linear head for every target."""

    def __init__(self, config: GroupAutoencoder, points: Points, *, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.points = points
        self.width = config.width
        self.num_prefix_tokens = 0
        self.embed = GroupEmbed(config.width)
        self.encoder = PlacedBlocks(config.width, depth=config.depth, heads=config.heads, drop_path=config.drop_path)
        self.decoder = GroupDecoder(
            config.width, depth=config.decoder_depth, heads=config.decoder_heads, drop_path=config.drop_path
        )
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, output.dim) for name, output in outputs.items()})
        truncated_normal_(self)
        nn.init.trunc_normal_(self.decoder.mask_token, std=TOKEN_STD)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at the target groups by name of the target, [batch, target, dim], in the plan's order."""
        return self.predict(self._groups(inputs), plans[self.points.name])

    def predict(self, groups: PointGroups, plan: MaskPlan) -> dict[str, Tensor]:
        """Return the predictions about groups that are made already. Only visible groups are embedded."""
        visible = groups_at(groups, plan.visible)
        encoded = self.encoder(self.embed(visible.points), visible.centres)
        decoded = self.decoder.hidden(encoded, groups.centres, plan)
        return {name: head(decoded) for name, head in self.heads.items()}

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of all groups, after the final norm."""
        groups = self._groups(inputs)
        encoded: Tensor = self.encoder(self.embed(groups.points), groups.centres)
        return encoded

    def _groups(self, inputs: Mapping[str, Tensor]) -> PointGroups:
        """Return the groups of the clouds of a batch, in single precision, where small differences count."""
        return groups_as_placed(inputs[self.points.name][..., :3].float(), self.points)
