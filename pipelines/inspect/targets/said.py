"""What a teacher said about the samples of a dataset, read from a stored target and decoded."""

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pipelines.target_coding import decoder_of
from shards.dataset import Ids
from shards.errors import CorruptShardError
from shards.target_table import TargetTable


class Said:
    """Reads single rows of one view of a stored target."""

    def __init__(self, table: TargetTable, *, k: int) -> None:
        self._table = table
        self._k = k

    def at(self, number: int) -> Shaped[np.ndarray, "..."]:
        """Return what the teacher said about a sample: float32 or int64, of the shape of the target.

        Raises:
            CorruptShardError: The row, or what decodes it, is missing or damaged.
        """
        rows = self._table.read(np.array([number]), np.array([self._k]))
        said: npt.NDArray[np.generic] = decoder_of(self._table)(torch.from_numpy(rows))[0].numpy()
        return said

    def tokens(self, ids: Ids, *, most: int) -> Float[Tensor, "tokens width"]:
        """Return up to about `most` vectors, evenly spread over samples and their tokens.

        Damaged rows are passed over, and so are rows of zeros, which stand where a teacher was shown nothing.
        """
        width = self._table.spec.shape[-1]
        kept, each = [torch.zeros(0, width)], max(1, most // max(1, len(ids)))
        for number in ids.tolist():
            try:
                tokens = torch.from_numpy(self.at(number)).reshape(-1, width)
            except CorruptShardError:
                continue
            places = np.linspace(0, len(tokens) - 1, min(len(tokens), each)).round().astype(np.int64)
            if tokens.any():
                kept.append(tokens[torch.from_numpy(places)])
        return torch.cat(kept)
