"""Codebooks: from the vectors of an encoder to ids and back, by vector-quantize-pytorch.

Both kinds pass the gradient of what they give straight through to what they were given.
"""

from abc import abstractmethod
from dataclasses import dataclass
from math import prod

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from shards.errors import SettingsError

_USE_DECAY = 0.99
_ROWS_AT_ONCE = 4096
"""Tokens compared with all codes at a time: 256 MB with 16,384 codes."""
_LENGTH_FLOOR = 1e-6


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """What a codebook made of tokens.

    Args:
        vectors: What stands for each token, in the width of the tokens.
        ids: The codes, int64.
        commitment: How far tokens are from their codes; zero where a codebook needs no such loss.
    """

    vectors: Float[Tensor, "batch tokens width"]
    ids: Int[Tensor, "batch tokens"]
    commitment: Float[Tensor, ""]


class Quantiser(nn.Module):
    """A codebook as a module. `use` is the share of the tokens of the last steps, about 100, that each code took."""

    use: Tensor

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.register_buffer("use", torch.zeros(vocabulary))

    @abstractmethod
    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Quantised:
        """Quantise tokens in float32; in training mode, also learn from them."""

    @abstractmethod
    def ids(self, tokens: Float[Tensor, "batch tokens width"]) -> Int[Tensor, "batch tokens"]:
        """Return the ids of tokens, and learn nothing."""

    @abstractmethod
    def vectors(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """Return what stands for each id."""

    @torch.no_grad()
    def note_use(self, ids: Int[Tensor, "batch tokens"]) -> None:
        """Move `use` towards the shares of this step; the first step sets them."""
        shares = torch.bincount(ids.flatten(), minlength=self.vocabulary) / ids.numel()
        is_first = (self.use.sum() == 0).float()
        self.use.lerp_(shares.to(self.use), 1 - _USE_DECAY * (1 - is_first))


@dataclass(frozen=True, kw_only=True)
class CosineCodebook:
    """A learned codebook of directions: a token becomes the one it points along most (Yu et al., arXiv:2110.04627).

    Codes follow the mean of their tokens; a code that is hardly used takes the place of a random token of the batch.

    Args:
        size: How many codes.
        dim: Width in which tokens are compared, after a linear layer.
        decay: How much of a code's mean is kept at a step, between 0 and 1.
        dead_below: A code that takes less than this part of an even share of the tokens is put elsewhere; 0 to leave it.

    Raises:
        SettingsError: A number makes no sense.
    """

    size: int
    dim: int
    decay: float
    dead_below: float

    def __post_init__(self) -> None:
        if not (1 < self.size <= 1 << 20 and 1 <= self.dim <= 1 << 14) or not (
            0 <= self.decay < 1 and 0 <= self.dead_below < 1
        ):
            raise SettingsError(
                f"{self} makes no sense: there have to be 2 to 2^20 codes of at least one dimension, and decay and "
                "dead_below have to be at least 0 and below 1."
            )

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self.size

    def build(self, width: int) -> "CosineQuantiser":
        """Return the module for tokens of `width` values, with random codes."""
        return CosineQuantiser(self, width=width)


class CosineQuantiser(Quantiser):
    """See CosineCodebook. All processes of a run learn the same codes, from the tokens of all."""

    def __init__(self, config: CosineCodebook, *, width: int) -> None:
        from vector_quantize_pytorch import VectorQuantize  # takes seconds

        super().__init__(config.size)
        self.dead_below = config.dead_below
        self.processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.learned = VectorQuantize(
            dim=width,
            codebook_size=config.size,
            codebook_dim=config.dim,
            decay=config.decay,
            use_cosine_sim=True,
            threshold_ema_dead_code=config.dead_below,
            rotation_trick=False,
            sync_codebook=self.processes > 1,
        )

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Quantised:
        """See Quantiser."""
        self._share_out(tokens.shape[0] * tokens.shape[1] * self.processes)
        with torch.autocast(tokens.device.type, enabled=False):
            vectors, ids, commitment = self.learned(tokens.float())
        if self.training:
            self.note_use(ids)
        return Quantised(vectors=vectors, ids=ids, commitment=commitment.reshape(()))

    def _share_out(self, num_tokens: int) -> None:
        """Say in tokens what a dead code is. One that is put elsewhere counts as used evenly, so it has time to be found."""
        even = num_tokens / self.vocabulary
        self.learned._codebook.threshold_ema_dead_code = self.dead_below * even
        self.learned._codebook.reset_cluster_size = even

    def ids(self, tokens: Float[Tensor, "batch tokens width"]) -> Int[Tensor, "batch tokens"]:
        """See Quantiser; tokens are compared some at a time, so that no table of all tokens and codes is made."""
        with torch.autocast(tokens.device.type, enabled=False):
            directions = normalize(self.learned.project_in(tokens.float()), dim=-1, eps=_LENGTH_FLOOR)
            rows = torch.split(directions.flatten(0, 1), _ROWS_AT_ONCE)
            found = torch.cat([(some @ self.learned.codebook.T).argmax(dim=-1) for some in rows])
        return found.reshape(tokens.shape[:2])

    def vectors(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """See Quantiser."""
        found: Tensor = self.learned.get_output_from_indices(ids)
        return found


@dataclass(frozen=True, kw_only=True)
class FiniteScalars:
    """No learned codes: a few numbers, each rounded to one of a few levels (Mentzer et al., arXiv:2309.15505).

    There are as many ids as the product of `levels`; 8,5,5,5 gives 1,000.

    Raises:
        SettingsError: There are no levels, or a number has fewer than 3.
    """

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 3 or prod(self.levels) > 1 << 20:
            raise SettingsError(f"levels is {self.levels}; give 3 or more to each, and a product of at most 2^20.")

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return prod(self.levels)

    def build(self, width: int) -> "ScalarQuantiser":
        """Return the module for tokens of `width` values."""
        return ScalarQuantiser(self, width=width)


class ScalarQuantiser(Quantiser):
    """See FiniteScalars."""

    def __init__(self, config: FiniteScalars, *, width: int) -> None:
        from vector_quantize_pytorch import FSQ  # takes seconds

        super().__init__(config.vocabulary)
        with torch.device("cpu"):  # it reads numbers off its tables, which a device without memory cannot give
            levels = FSQ(levels=config.levels, dim=width)
        self.learned = levels.to(self.use.device) if not self.use.is_meta else levels

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Quantised:
        """See Quantiser."""
        with torch.autocast(tokens.device.type, enabled=False):
            vectors, ids = self.learned(tokens.float())
        if self.training:
            self.note_use(ids)
        return Quantised(vectors=vectors, ids=ids.long(), commitment=vectors.new_zeros(()))

    def ids(self, tokens: Float[Tensor, "batch tokens width"]) -> Int[Tensor, "batch tokens"]:
        """See Quantiser."""
        with torch.autocast(tokens.device.type, enabled=False):
            found: Tensor = self.learned(tokens.float())[1].long()
        return found

    def vectors(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """See Quantiser."""
        found: Tensor = self.learned.indices_to_codes(ids)
        return found


Codebook = CosineCodebook | FiniteScalars
"""Whatever a tokenizer may quantise with."""
