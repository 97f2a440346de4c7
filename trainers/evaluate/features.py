"""Features of samples, one vector each, under extractors such as a frozen network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipelines.batch import Batch
from pipelines.device.choice import autocast
from pipelines.randomness import hash_key
from shards.schema import ABSENT
from trainers.nn.network import Network

TEST_SHARE = 5
"""One of this many samples is a test sample."""

Extractor = Callable[[Batch], Tensor]
"""From a batch to float32 [batch, width]."""

NamedExtractor = Callable[[Batch], Mapping[str, Tensor]]
"""From a batch to several of these, by name."""


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


def extract(batches: Iterable[Batch], extractor: NamedExtractor, *, limit: int | None = None) -> Features:
    """Run an extractor over the labelled samples among the first `limit` of `batches`; each is read once."""
    keys: list[str] = []
    labels: list[Tensor] = []
    vectors: dict[str, list[Tensor]] = {}
    seen = 0
    for batch in batches:
        known = _known_labels(batch)
        if limit is not None:
            known &= seen + torch.arange(len(batch.keys)) < limit
        seen += len(batch.keys)
        keys += [key for key, keep in zip(batch.keys, known.tolist(), strict=True) if keep]
        if batch.labels is not None and known.any():
            labels.append(batch.labels.cpu()[known].long())
            for name, rows in extractor(batch).items():
                vectors.setdefault(name, []).append(rows.float().cpu()[known])
        if limit is not None and seen >= limit:
            break
    return Features(
        keys=tuple(keys),
        labels=torch.cat(labels) if labels else torch.empty(0, dtype=torch.long),
        vectors={name: torch.cat(parts) for name, parts in vectors.items()},
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
        moved = batch.to(device)
        with autocast(device, dtype):
            return network.represent(moved.inputs, moved.lengths).float()

    return encoded


def each_extractor(network: Network, *, device: torch.device, dtype: torch.dtype) -> NamedExtractor:
    """The network's summaries of each modality of a sample alone, by its name; see `encoder_extractor`."""
    network.eval()

    @torch.no_grad()
    def encoded(batch: Batch) -> Mapping[str, Tensor]:
        moved = batch.to(device)
        with autocast(device, dtype):
            each = network.represent_each(moved.inputs, moved.lengths)
        return {name: vectors.float() for name, vectors in each.items()}

    return encoded


def one_in_five(keys: Sequence[str], *, purpose: str) -> Bool[Tensor, " keys"]:
    """Pick about one key in five by its hash: the same keys on every machine, whatever the order or the other keys."""
    return torch.tensor([hash_key(purpose, key) % TEST_SHARE == 0 for key in keys], dtype=torch.bool)
