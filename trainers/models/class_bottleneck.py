"""An encoder with mask tokens whose class token has to carry what later blocks know: a shallow head predicts from it.

Peng et al., arXiv:2208.06366, section 2.3 (the idea is that of Gao and Callan, arXiv:2104.08253): the head sees the class
token of the last block, and the patches only as they were some blocks before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Image
from shards.errors import SettingsError
from trainers.nn.blocks import run_blocks, stack_of_blocks
from trainers.nn.embed import image_patches, only_modality
from trainers.nn.filled_encoder import FilledEncoder
from trainers.nn.gather import tokens_at
from trainers.nn.initialise import damp_by_depth_, truncated_normal_
from trainers.nn.network import Network, Output, require_places


@dataclass(frozen=True, kw_only=True)
class ClassBottleneck:
    """A vision transformer of `depth` blocks with relative positions, and a head of `head_depth` blocks.

    Args:
        width: Size of a token.
        depth: Blocks of the encoder.
        heads: Attention heads of each block.
        layer_scale: Where the gains of all branches start.
        drop_path: How often the branches of the last block are left out.
        late: Blocks at the end of the encoder whose patches the head does not see.
        head_depth: Blocks of the head.
        direct: The target that is predicted from the patches of the last block.
        through_class: The target that the head predicts, by the same linear layer.
    """

    width: int
    depth: int
    heads: int
    layer_scale: float
    drop_path: float
    late: int
    head_depth: int
    direct: str
    through_class: str

    def build(self, modalities: Sequence[Image], *, outputs: Mapping[str, Output]) -> "ClassBottleneckNetwork":
        """Return the network with weights from a truncated normal of 0.02, smaller in later blocks.

        Raises:
            SettingsError: The targets are not the two that were named, with as many values at target tokens, or there are
                fewer blocks than `late` ones and one more.
        """
        image = only_modality(modalities, architecture="class_bottleneck")
        require_places(outputs, possible=("target",), architecture="class_bottleneck")
        if set(outputs) != {self.direct, self.through_class} or len(set(outputs.values())) != 1:
            found = ", ".join(f"{name} of {output.dim} values" for name, output in outputs.items())
            raise SettingsError(
                f"class_bottleneck predicts '{self.direct}' and '{self.through_class}' by one linear layer, so both need "
                f"as many values; the targets are {found}."
            )
        if not 0 <= self.late < self.depth:
            raise SettingsError(
                f"class_bottleneck takes the patches {self.late} blocks before the last of {self.depth}; set model.late "
                f"to at least 0 and less than model.depth."
            )
        return ClassBottleneckNetwork(self, image, dim=outputs[self.direct].dim)


class ClassBottleneckNetwork(Network):
    """Encoder, head of a few blocks, and one linear layer for what both predict."""

    def __init__(self, config: ClassBottleneck, image: Image, *, dim: int) -> None:
        super().__init__()
        self.config = config
        self.image = image
        self.width = config.width
        self.num_prefix_tokens = 1
        self.encoder = FilledEncoder(
            image,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            positions="relative",
            start="damped",
            layer_scale=config.layer_scale,
            drop_path=config.drop_path,
        )
        self.aggregation = stack_of_blocks(
            config.width,
            depth=config.head_depth,
            heads=config.heads,
            layer_scale=config.layer_scale,
            drop_path=config.drop_path,
        )
        self.head = nn.Linear(config.width, dim)
        truncated_normal_(self.aggregation)
        truncated_normal_(self.head)
        damp_by_depth_(self.aggregation, first=config.depth - config.late + 1)

    def forward(self, inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan]) -> dict[str, Tensor]:
        """Return the predictions at `plan.target`, in its order: [batch, target, dim] by name of the two targets."""
        plan = plans[self.image.name]
        patches = image_patches(inputs[self.image.name], patch=self.image.patch)
        levels = self.encoder.levels(self.encoder.filled(patches, plan.visible))
        squeezed = self.through_class(levels)
        # The norm acts on each token alone, so tokens that nobody asked for are dropped before it.
        direct, aggregated = (self.encoder.norm(tokens_at(tokens, plan, "target")) for tokens in (levels[-1], squeezed))
        return {self.config.direct: self.head(direct), self.config.through_class: self.head(aggregated)}

    def through_class(
        self, levels: Sequence[Float[Tensor, "batch encoded width"]]
    ) -> Float[Tensor, "batch encoded width"]:
        """Return what the head makes of the class token of the last level and the patches of an earlier one."""
        early = levels[-1 - self.config.late]
        mixed = torch.cat([levels[-1][:, :1], early[:, 1:]], dim=1)
        return run_blocks(self.aggregation, mixed, self.encoder.places.bias())[-1]

    def encode(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch tokens width"]:
        """Return the class token and the tokens of all patches, row by row, after the final norm."""
        return self.encoder.whole(image_patches(inputs[self.image.name], patch=self.image.patch))

    def pool(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
        """Return one vector per sample: the class token, which was trained to say what the patches do."""
        return tokens[:, 0]
