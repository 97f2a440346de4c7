"""Features of samples, one vector each, from a frozen network or from what is stored itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.device.choice import autocast
from pipelines.modalities import Clip, Image, LogMel, Modality, Points
from pipelines.randomness import hash_key
from pipelines.tokenizers.vq.groups import in_unit_sphere
from shards.schema import ABSENT
from trainers.nn.network import Network

PIXEL_SIDE = 32
"""Raw pixels are compared at this side at most: more adds width, not knowledge."""
CELLS = 8
"""Cells along each axis into which the unit cube around a cloud is cut."""
TEST_SHARE = 5
"""One of this many samples is a test sample."""

Extractor = Callable[[Batch], Tensor]
"""From a batch to float32 [batch, width]."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Labelled samples and their vectors under several extractors, on the CPU."""

    keys: tuple[str, ...]
    labels: Int[Tensor, " samples"]
    vectors: Mapping[str, Float[Tensor, "samples _"]]

    def rows(self, kept: Bool[Tensor, " samples"]) -> "Features":
        """The samples for which `kept` is true."""
        return Features(
            keys=tuple(key for key, keep in zip(self.keys, kept.tolist(), strict=True) if keep),
            labels=self.labels[kept],
            vectors={name: vectors[kept] for name, vectors in self.vectors.items()},
        )


def extract(batches: Iterable[Batch], extractors: Mapping[str, Extractor], *, limit: int | None = None) -> Features:
    """Run every extractor over the labelled samples among the first `limit` of `batches`; each is read once."""
    keys: list[str] = []
    labels: list[Tensor] = []
    vectors: dict[str, list[Tensor]] = {name: [] for name in extractors}
    seen = 0
    for batch in batches:
        known = _known_labels(batch)
        if limit is not None:
            known &= seen + torch.arange(len(batch.keys)) < limit
        seen += len(batch.keys)
        keys += [key for key, keep in zip(batch.keys, known.tolist(), strict=True) if keep]
        if batch.labels is not None and known.any():
            labels.append(batch.labels.cpu()[known].long())
            for name, extractor in extractors.items():
                vectors[name].append(extractor(batch).float().cpu()[known])
        if limit is not None and seen >= limit:
            break
    return Features(
        keys=tuple(keys),
        labels=torch.cat(labels) if labels else torch.empty(0, dtype=torch.long),
        vectors={name: torch.cat(parts) if parts else torch.empty(0, 0) for name, parts in vectors.items()},
    )


def _known_labels(batch: Batch) -> Bool[Tensor, " batch"]:
    if batch.labels is None:
        return torch.zeros(len(batch.keys), dtype=torch.bool)
    return batch.labels.cpu() != ABSENT


def encoder_extractor(network: Network, *, device: torch.device, dtype: torch.dtype) -> Extractor:
    """The network's own summary of a whole, unmasked sample. The network is put into evaluation mode."""
    network.eval()

    @torch.no_grad()
    def encoded(batch: Batch) -> Tensor:
        inputs = {field: values.to(device) for field, values in batch.inputs.items()}
        with autocast(device, dtype):
            return network.pool(network.encode(inputs)).float()

    return encoded


def raw_name(modality: Modality) -> str:
    """What the values of `raw_extractor` are called."""
    return "raw pixels" if isinstance(modality, Image | Clip) else "raw values"


def raw_extractor(modality: Modality) -> Extractor:
    """The sample itself as a row of values.

    A picture, or the mean of the frames of a clip, of 32 x 32 pixels at most; the means of 32 x 32 parts of a spectrogram;
    how many points of a cloud are in each of 8 x 8 x 8 cells.
    """

    def raw(batch: Batch) -> Tensor:
        inputs = batch.inputs[modality.name]
        match modality:
            case Clip():
                return shrunk_pixels(inputs.float().mean(dim=2))
            case LogMel():
                return mean_parts(inputs)
            case Points():
                return cell_shares(inputs[..., :3])
            case _:
                return shrunk_pixels(inputs)

    return raw


def shrunk_pixels(images: Shaped[Tensor, "batch channels side side"]) -> Float[Tensor, "batch values"]:
    """Pictures of pixels from 0 to 255, at `PIXEL_SIDE` at most, as values from 0 to 1 (never outside), row-major."""
    values = images.float() / 255
    if images.shape[-1] > PIXEL_SIDE:
        size = (PIXEL_SIDE, PIXEL_SIDE)
        values = torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    return rearrange(values, "batch channels row column -> batch (channels row column)")


def mean_parts(features: Float[Tensor, "batch frames bins"]) -> Float[Tensor, "batch values"]:
    """The means of parts of a spectrogram, `PIXEL_SIDE` along both axes at most, by time, then bin."""
    frames, bins = features.shape[1:]
    size = (min(frames, PIXEL_SIDE), min(bins, PIXEL_SIDE))
    return torch.nn.functional.adaptive_avg_pool2d(features.float()[:, None], size).flatten(1)


def cell_shares(clouds: Float[Tensor, "batch count 3"]) -> Float[Tensor, "batch cells"]:
    """The share of the points of a cloud, scaled to radius 1, that lie in each cell of the cube around it."""
    cells = ((in_unit_sphere(clouds.float()) + 1) / 2 * CELLS).long().clamp(0, CELLS - 1)
    numbers = (cells[..., 0] * CELLS + cells[..., 1]) * CELLS + cells[..., 2]
    return torch.nn.functional.one_hot(numbers, CELLS**3).float().mean(dim=1)


def one_in_five(keys: Sequence[str], *, purpose: str) -> Bool[Tensor, " keys"]:
    """Pick about one key in five by its hash: the same keys on every machine, whatever the order or the other keys."""
    return torch.tensor([hash_key(purpose, key) % TEST_SHARE == 0 for key in keys], dtype=torch.bool)
