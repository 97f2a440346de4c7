"""Stems: from the rows of a batch to the vectors that an encoder mixes, one for each kind of modality."""

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pipelines.modalities import Points, Raster
from pipelines.tokenizers.vq.contents import Tokenised, contents, num_values
from pipelines.tokenizers.vq.groups import group_points

CLASS_WIDTH = 8
"""Width in which the class of a pixel is embedded."""
POSITION_STD = 0.02


class Stem(nn.Module):
    """Embeds the contents of tokens, and their places. `offset` is to be added to what is predicted of contents."""

    offset: Tensor

    def __init__(self, modality: Tokenised, *, width: int) -> None:
        super().__init__()
        self.modality = modality
        self.embed: nn.Module = nn.Linear(num_values(modality), width)
        self.positions = nn.Parameter(torch.empty(1, modality.num_tokens, width))
        nn.init.trunc_normal_(self.positions, std=POSITION_STD)
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens width"]:
        """Return one vector for each token."""
        embedded: Tensor = self.embed(contents(self.modality, inputs))
        return embedded + self.positions

    def learn(self, inputs: Shaped[Tensor, "batch ..."]) -> None:
        """Take from a batch what no gradient teaches: nothing, unless a kind of stem says otherwise."""


class FeatureStem(Stem):
    """Embeds vectors of any length: they are brought to mean 0 and variance 1 first."""

    def __init__(self, modality: Tokenised, *, width: int) -> None:
        super().__init__(modality, width=width)
        self.embed = nn.Sequential(nn.LayerNorm(num_values(modality)), nn.Linear(num_values(modality), width))


class MeasureStem(Stem):
    """Embeds logarithms of measured values, from their mean in the first batch, and what was not measured as such."""

    is_centred: Tensor

    def __init__(self, modality: Tokenised, *, width: int) -> None:
        super().__init__(modality, width=width)
        self.embed = nn.Linear(2 * num_values(modality), width)
        self.register_buffer("is_centred", torch.tensor(False))

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens width"]:
        """Return one vector for each token."""
        logarithms = contents(self.modality, inputs)
        known = logarithms.isfinite()
        shown = torch.where(known, logarithms - self.offset, 0.0)
        embedded: Tensor = self.embed(torch.cat([shown, known.to(shown)], dim=-1))
        return embedded + self.positions

    @torch.no_grad()
    def learn(self, inputs: Shaped[Tensor, "batch ..."]) -> None:
        """Set the offset to the mean of what was measured in the first batch, over all processes of a run."""
        if self.is_centred:
            return
        logarithms = contents(self.modality, inputs)
        known = logarithms.isfinite()
        sums = torch.stack([torch.where(known, logarithms, 0.0).sum(), known.sum().to(logarithms)])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(sums)
        self.offset.copy_(sums[0] / sums[1].clamp(min=1))
        self.is_centred.copy_(sums[1] > 0)


class ClassStem(Stem):
    """Embeds the class of every pixel; ids that are no class share one embedding."""

    def __init__(self, modality: Raster, *, width: int, classes: int) -> None:
        super().__init__(modality, width=width)
        self.classes = classes
        self.of_class = nn.Embedding(classes + 1, CLASS_WIDTH)
        self.embed = nn.Linear(CLASS_WIDTH * num_values(modality), width)

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens width"]:
        """Return one vector for each token."""
        ids = contents(self.modality, inputs)
        known = (ids >= 0) & (ids < self.classes)
        embedded: Tensor = self.embed(self.of_class(torch.where(known, ids, self.classes)).flatten(2))
        return embedded + self.positions


class PointStem(Stem):
    """Embeds groups of points, whatever their order, and their centres (Yu et al., arXiv:2111.14819, section 3.1).

    Two perceptrons act on each point; after each, the largest value over the group is taken.
    """

    def __init__(self, modality: Points, *, width: int) -> None:
        nn.Module.__init__(self)
        self.points = modality
        self.first = nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width))
        self.second = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.position = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, inputs: Float[Tensor, "batch count columns"]) -> Float[Tensor, "batch groups width"]:
        """Return one vector for each group."""
        groups = group_points(inputs, self.points)
        points = self.first(groups.points)
        whole = points.amax(dim=2, keepdim=True).expand_as(points)
        embedded: Tensor = self.second(torch.cat([whole, points], dim=-1)).amax(dim=2)
        placed: Tensor = embedded + self.position(groups.centres)
        return placed
