"""The learning rate as a pure function of training progress: linear warm-up, then half a cosine."""

import math
from dataclasses import dataclass

REFERENCE_BATCH = 256
"""Papers of this family state learning rates per 256 samples (Goyal et al. 2017, arXiv:1706.02677)."""


def scaled_rate(rate: float, global_batch: int) -> float:
    """A learning rate that was stated per 256 samples, scaled linearly with the samples per optimiser step."""
    return rate * global_batch / REFERENCE_BATCH


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """Linear warm-up from 0 to `peak`, then half a cosine down to `minimum` (MAE, arXiv:2111.06377, appendix A.1).

    Progress is counted in epochs and may be fractional; the trainer evaluates it once per optimiser step at
    `step / steps_per_epoch`. Past `epochs` the rate stays at `minimum`.
    """

    peak: float
    minimum: float
    warmup_epochs: float
    epochs: float

    def at(self, epoch: float) -> float:
        """The learning rate after `epoch` epochs."""
        if epoch < self.warmup_epochs:
            return self.peak * epoch / self.warmup_epochs
        if epoch >= self.epochs:
            return self.minimum
        progress = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return self.minimum + (self.peak - self.minimum) * 0.5 * (1.0 + math.cos(math.pi * progress))
