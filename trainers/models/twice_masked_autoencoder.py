"""An autoencoder of groups of points that is shown two parts of one cloud, and should say the same of what neither shows.

Ren et al., arXiv:2407.05862, section 3, and its official code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Modality, Points
from pipelines.tokenizers.vq.groups import PointGroups, groups_as_placed
from shards.errors import SettingsError
from trainers.nn.gather import scatter_tokens
from trainers.nn.group_parts import GroupDecoder, GroupEmbed, PlacedBlocks, groups_at
from trainers.nn.initialise import TOKEN_STD, truncated_normal_
from trainers.nn.network import Network, Output, require_places

DISAGREEMENT = "disagreement"
"""The name of the prediction, [batch], that tells how little the two decoders agree; see `disagreement`."""


@dataclass(frozen=True, kw_only=True)
class TwiceMaskedAutoencoder:
    """A transformer of `depth` blocks with `heads` attention heads, and for each mask a shallower one as decoder.

    The two modalities are one cloud under two names, each with a masking of its own. In training, branches are left out of
    samples with a probability that grows up to `drop_path`, in all three.
    """

    width: int
    depth: int
    heads: int
    decoder_depth: int
    decoder_heads: int
    drop_path: float

    def build(self, modalities: Sequence[Modality], *, outputs: Mapping[str, Output]) -> "TwiceMaskedNetwork":
        """Return the network with weights and mask tokens from a truncated normal of standard deviation 0.02.

        Raises:
            SettingsError: The modalities are not one cloud under two names, or something is to be predicted elsewhere than
                at the target groups.
        """
        require_places(outputs, possible=("target",), architecture="twice_masked_autoencoder")
        return TwiceMaskedNetwork(self, require_one_cloud_twice(modalities), outputs=outputs)


class TwiceMaskedNetwork(Network):
    """Embedding of groups, encoder, two decoders, and one linear head for every target."""

    def __init__(
        self, config: TwiceMaskedAutoencoder, clouds: tuple[Points, Points], *, outputs: Mapping[str, Output]
    ) -> None:
        super().__init__()
        self.clouds = {cloud.name: cloud for cloud in clouds}
        self.width = config.width
        self.num_prefix_tokens = 0
        self.embed = GroupEmbed(config.width)
        self.encoder = PlacedBlocks(config.width, depth=config.depth, heads=config.heads, drop_path=config.drop_path)
        self.decoders = nn.ModuleDict(
            {
                name: GroupDecoder(
                    config.width, depth=config.decoder_depth, heads=config.decoder_heads, drop_path=config.drop_path
                )
                for name in self.clouds
            }
        )
        self.heads = nn.ModuleDict({name: nn.Linear(config.width, output.dim) for name, output in outputs.items()})
        self.predicted = {name: output.modality for name, output in outputs.items()}
        truncated_normal_(self)
        for decoder in self.decoders.values():
            assert isinstance(decoder, GroupDecoder)
            nn.init.trunc_normal_(decoder.mask_token, std=TOKEN_STD)

    @property
    def reports(self) -> frozenset[str]:
        """See Network."""
        return frozenset({DISAGREEMENT})

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at the target groups by name of the target, [batch, target, dim], and how they disagree."""
        hidden = {name: self._hidden(self._groups(inputs, name), plans[name], name) for name in self.clouds}
        predictions = {target: self.heads[target](hidden[of]) for target, of in self.predicted.items()}
        first, second = (Said(features=hidden[name], plan=plans[name]) for name in self.clouds)
        count = next(iter(self.clouds.values())).num_tokens
        return {**predictions, DISAGREEMENT: disagreement(first, second, count=count)}

    def _hidden(self, groups: PointGroups, plan: MaskPlan, name: str) -> Float[Tensor, "batch target width"]:
        """Return what the decoder of a cloud says at its target groups. Only visible groups are embedded."""
        visible, decoder = groups_at(groups, plan.visible), self.decoders[name]
        assert isinstance(decoder, GroupDecoder)
        return decoder.hidden(self.encoder(self.embed(visible.points), visible.centres), groups.centres, plan)

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens of all groups of the first cloud, after the final norm; the second is not read."""
        groups = self._groups(inputs, next(iter(self.clouds)))
        encoded: Tensor = self.encoder(self.embed(groups.points), groups.centres)
        return encoded

    def _groups(self, inputs: Mapping[str, Tensor], name: str) -> PointGroups:
        """Return the groups of the clouds of a batch, in single precision, where small differences count."""
        return groups_as_placed(inputs[name][..., :3].float(), self.clouds[name])


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a decoder says of the groups that a plan hides: `features` at `plan.target`."""

    features: Float[Tensor, "batch target width"]
    plan: MaskPlan

    def placed(self, count: int) -> tuple[Float[Tensor, "batch {count} width"], Bool[Tensor, "batch {count}"]]:
        """Return the features at their places among `count` groups, 0 elsewhere, and which groups are hidden."""
        nothing = self.features.new_zeros(1, 1, self.features.shape[-1])
        features = scatter_tokens(self.features, self.plan.target, filler=nothing, length=count)
        marks = self.features.new_ones(*self.features.shape[:2], 1)
        hidden = scatter_tokens(marks, self.plan.target, filler=marks.new_zeros(1, 1, 1), length=count)
        return features, hidden[..., 0] > 0


def disagreement(first: Said, second: Said, *, count: int) -> Float[Tensor, " batch"]:
    """Return one minus the cosine of what is said twice of a group, averaged over the groups of each cloud hidden by both.

    0 where no group is. Gradients flow into both.
    """
    (one, hidden_once), (other, hidden_again) = first.placed(count), second.placed(count)
    hidden_twice = hidden_once & hidden_again
    apart = (1 - cosine_similarity(one.float(), other.float(), dim=-1)).masked_fill(~hidden_twice, 0.0)
    return apart.sum(dim=1) / hidden_twice.sum(dim=1).clamp(min=1)


def require_one_cloud_twice(modalities: Sequence[Modality]) -> tuple[Points, Points]:
    """Return two modalities that differ in nothing but their names; raises SettingsError if there are not just these."""
    clouds = [modality for modality in modalities if isinstance(modality, Points)]
    if len(modalities) != 2 or len(clouds) != 2:
        raise SettingsError(
            "twice_masked_autoencoder embeds one cloud under two names; this recipe has "
            f"{', '.join(f'{modality.name} ({type(modality).__name__})' for modality in modalities) or 'nothing'}."
        )
    first, second = clouds
    if replace(second, name=first.name) != first:
        raise SettingsError(
            f"'{first.name}' and '{second.name}' have to be the same points of the same cloud, but they are {first} and "
            f"{second}. Change the settings of both alike."
        )
    return first, second
