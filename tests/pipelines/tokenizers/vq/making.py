"""Small tokenizers of every kind, and what they are shown."""

from typing import Any

import torch

from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq import VqTokenizer
from pipelines.tokenizers.vq.codebook import Codebook, CosineCodebook, FiniteScalars
from pipelines.tokenizers.vq.contents import num_values
from pipelines.tokenizers.vq.spec import Gives, TokenizerSpec

COSINE = CosineCodebook(size=12, dim=4, decay=0.9, dead_below=0.1)
SCALARS = FiniteScalars(levels=(4, 3))
IMAGE = Image(size=16, patch=8)
LOGMEL = LogMel(frames=16, bins=8, patch=4)
DEPTH = Raster(size=16, patch=8, field="depth")
CLASSES = Raster(size=16, patch=8, field="segmentation", is_ids=True)
POINTS = Points(count=40, groups=5, neighbours=6, columns=4)
FEATURES = Features(stored="clip", grid=(2, 3), dim=10)
NUM_CLASSES = 5
EVERY = (IMAGE, LOGMEL, DEPTH, CLASSES, POINTS, FEATURES)


def make(modality: Any = IMAGE, codebook: Codebook = COSINE, gives: Gives = "input", seed: int = 0) -> VqTokenizer:
    outputs = num_values(modality) * (NUM_CLASSES if modality is CLASSES else 1) if gives == "input" else 7
    torch.manual_seed(seed)
    spec = TokenizerSpec(
        modality=modality,
        gives=gives,
        outputs=outputs,
        width=16,
        depth=1,
        decoder_depth=1,
        heads=2,
        codebook=codebook,
    )
    return VqTokenizer(spec)


def rows(modality: Any, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    match modality:
        case Image():
            return torch.randint(256, (batch, 3, 16, 16), generator=generator, dtype=torch.uint8)
        case LogMel():
            return torch.randn(batch, 16, 8, generator=generator) * 4 - 4
        case Raster(is_ids=True):
            return torch.randint(-1, NUM_CLASSES + 2, (batch, 1, 16, 16), generator=generator)
        case Raster():
            depth = torch.rand(batch, 1, 16, 16, generator=generator) * 3000 + 500
            return torch.where(depth < 700, 0.0, torch.where(depth > 3400, torch.nan, depth))
        case Points():
            return torch.randn(batch, 40, 4, generator=generator)
        case _:
            return torch.randn(batch, 6, 10, generator=generator)
