"""Parts of networks of point clouds: what embeds a group of points, blocks that are told where groups are, a decoder.

Pang et al., arXiv:2203.06604, sections 3.1 and 3.2, and its official code.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.masking.plan import MaskPlan
from pipelines.tokenizers.vq.groups import PointGroups
from trainers.nn.blocks import BlockStyle, stack_of_blocks
from trainers.nn.gather import gather_tokens

NORM_EPS = 1e-5
POSITION_WIDTH = 128


class GroupEmbed(nn.Module):
    """Groups of points -> one vector each, whatever the order of their points.

    Two perceptrons act on each point, the second of which is also given the largest values of the group; at the end the
    largest values over the group are taken. Batch norms take their statistics from the points they are given.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 256))
        self.second = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, width))

    def forward(self, groups: Float[Tensor, "batch groups points 3"]) -> Float[Tensor, "batch groups width"]:
        """Return the embedded groups."""
        batch, count, size, _ = groups.shape
        shape = {"batch": batch, "group": count, "point": size}
        flat = rearrange(groups, "batch group point xyz -> (batch group point) xyz")
        points = rearrange(self.first(flat), "(batch group point) width -> batch group point width", **shape)
        whole = points.amax(dim=2, keepdim=True).expand_as(points)
        both = rearrange(torch.cat([whole, points], dim=-1), "batch group point width -> (batch group point) width")
        mixed: Tensor = rearrange(self.second(both), "(batch group point) width -> batch group point width", **shape)
        return mixed.amax(dim=2)


class PlacedBlocks(nn.Module):
    """Blocks before each of which the positions of tokens are added, made of their coordinates by a perceptron; and a norm.

    Query, key and value have no biases.
    """

    def __init__(self, width: int, *, depth: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.position = nn.Sequential(nn.Linear(3, POSITION_WIDTH), nn.GELU(), nn.Linear(POSITION_WIDTH, width))
        self.blocks = stack_of_blocks(
            width, depth=depth, heads=heads, drop_path=drop_path, style=BlockStyle(biases="none", norm_eps=NORM_EPS)
        )
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], centres: Float[Tensor, "batch tokens 3"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens after all blocks and the norm."""
        positions = self.position(centres)
        for block in self.blocks:
            tokens = block(tokens + positions)
        normed: Tensor = self.norm(tokens)
        return normed


class GroupDecoder(PlacedBlocks):
    """Blocks that see encoded groups, and a mask token for each group that is asked for, all at their places."""

    def __init__(self, width: int, *, depth: int, heads: int, drop_path: float) -> None:
        super().__init__(width, depth=depth, heads=heads, drop_path=drop_path)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))

    def hidden(
        self,
        encoded: Float[Tensor, "batch visible width"],
        centres: Float[Tensor, "batch groups 3"],
        plan: MaskPlan,
    ) -> Float[Tensor, "batch target width"]:
        """Return the decoded tokens at `plan.target`, in its order; the centres of hidden groups are told."""
        masked = self.mask_token.to(encoded.dtype).expand(len(encoded), plan.target.shape[1], -1)
        places = gather_tokens(centres, torch.cat([plan.visible, plan.target], dim=1))
        decoded: Tensor = self(torch.cat([encoded, masked], dim=1), places)
        return decoded[:, encoded.shape[1] :]


def groups_at(groups: PointGroups, index: Int[Tensor, "batch chosen"]) -> PointGroups:
    """Return the groups at `index`, in its order."""
    flat = gather_tokens(rearrange(groups.points, "batch group point xyz -> batch group (point xyz)"), index)
    points = rearrange(flat, "batch group (point xyz) -> batch group point xyz", xyz=3)
    return PointGroups(centres=gather_tokens(groups.centres, index), points=points)
