"""From what a teacher says to what is stored of it, and back: float16, int8 with a scale for each token, components, ids.

Both directions work on any device, so that a trainer decodes whole batches where the network is.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int8, Shaped
from torch import Tensor

from shards.target_spec import SCALE_BYTES, Coding
from shards.target_table import TargetTable

_MOST_INT8 = 127
_MOST_COVARIANCE_ROWS = 1 << 16
"""Rows that are multiplied at a time: a covariance needs no copy of all values in float64."""


def decoder_of(table: TargetTable) -> Callable[[Tensor], Tensor]:
    """Return the function from rows of a stored target to what its teacher said: float32 or int64 [batch, *shape].

    Raises:
        CorruptShardError: The projection of the target is missing or damaged.
    """
    coding, projection = table.spec.coding, projection_of(table)

    def decoded(rows: Tensor) -> Tensor:
        return decode(rows, coding, None if projection is None else projection.to(rows.device))

    return decoded


def projection_of(table: TargetTable) -> Float[Tensor, "rows width"] | None:
    """Return the mean of a token and its principal components, where a target is stored as such.

    Raises:
        CorruptShardError: The projection of the target is missing or damaged.
    """
    return None if table.projection is None else torch.from_numpy(table.projection)


def encode(
    values: Shaped[Tensor, "batch ..."], coding: Coding, projection: Float[Tensor, "rows width"] | None
) -> Shaped[np.ndarray, "batch ..."]:
    """Return rows as they are stored, of `coding.dtype`: [batch, *coding.stored_shape(shape)]; rounded to the nearest.

    Args:
        values: What the teacher said, [batch, *shape]: floats, or ids.
        coding: How it is stored.
        projection: The mean of a token, then its principal components; only where components are stored.
    """
    if coding.holds_ids:
        return values.cpu().numpy().astype(coding.dtype)
    kept = values.float() if projection is None else (values.float() - projection[0]) @ projection[1:].T
    if coding.dtype == "int8":
        return _scaled(kept).cpu().numpy()
    return kept.cpu().numpy().astype(coding.dtype)


def decode(
    rows: Shaped[Tensor, "batch ..."], coding: Coding, projection: Float[Tensor, "rows width"] | None
) -> Shaped[Tensor, "batch ..."]:
    """Return what the teacher said, as far as it was stored: float32, or int64 for ids; the inverse of `encode`."""
    if coding.holds_ids:
        return rows.long()
    kept = _unscaled(rows) if coding.dtype == "int8" else rows.float()
    return kept if projection is None else kept @ projection[1:] + projection[0]


def _scaled(values: Float[Tensor, "*tokens width"]) -> Int8[Tensor, "*tokens bytes"]:
    """Return each token as whole numbers from -127 to 127, followed by the four bytes of what one of them is worth."""
    scale = values.abs().amax(dim=-1, keepdim=True) / _MOST_INT8
    whole = torch.where(scale > 0, values / scale, 0.0).round().clamp(-_MOST_INT8, _MOST_INT8)
    return torch.cat([whole.to(torch.int8), scale.contiguous().view(torch.int8)], dim=-1)


def _unscaled(rows: Int8[Tensor, "*tokens bytes"]) -> Float[Tensor, "*tokens width"]:
    scale = rows[..., -SCALE_BYTES:].contiguous().view(torch.float32)
    return rows[..., :-SCALE_BYTES].float() * scale


def fit_projection(tokens: Float[Tensor, "tokens width"], components: int) -> Float[Tensor, "rows width"]:
    """Return the mean of some tokens, then their principal components, those of the largest variance first.

    Components have length one; the largest of their values is positive, which fixes their sign. Computed in float64.
    """
    mean = tokens.double().mean(dim=0)
    covariance = torch.zeros(tokens.shape[1], tokens.shape[1], dtype=torch.float64)
    for start in range(0, len(tokens), _MOST_COVARIANCE_ROWS):
        centred = tokens[start : start + _MOST_COVARIANCE_ROWS].double() - mean
        covariance += centred.T @ centred
    _, vectors = torch.linalg.eigh(covariance)
    largest = vectors.flip(1)[:, :components].T
    signs = largest.gather(1, largest.abs().argmax(dim=1, keepdim=True)).sign()
    return torch.cat([mean[None], largest * signs]).float()
