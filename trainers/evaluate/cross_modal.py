"""Pairs of modalities of the samples of a dataset, as retrieval compares them: encoded each alone, and as they are."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Modality, Stored
from trainers.evaluate.features import NamedExtractor
from trainers.evaluate.raw import raw_extractor
from trainers.evaluate.retrieval import Pairs, retrieve, split_pairs

RAW = "as they are"
"""What raw pixels, values and words are called beside each other."""

Vectors = Mapping[tuple[str, str], Tensor]
"""By what made them and by modality, [samples, width]."""


def retrieval(
    modalities: Sequence[Modality],
    extractors: Mapping[str, NamedExtractor],
    train: Iterable[Batch],
    test: Iterable[Batch] | None,
    *,
    limit: int | None,
) -> list[dict[str, Any]]:
    """Return what is found across each pair of modalities; see `retrieve`.

    Maps are fitted on `train` and tested on `test`, or on a fifth of `train` when there is no `test`; of each, the first
    `limit` samples are read.
    """
    shown = [modality for modality in modalities if not isinstance(modality, Stored)]
    fitted = _collect(shown, extractors, train, limit=limit)
    asked = None if test is None else _collect(shown, extractors, test, limit=limit)
    found = []
    for first, second in combinations([modality.name for modality in shown], 2):
        pairs = _pairs(fitted, first, second)
        sides = split_pairs(pairs) if asked is None else (pairs, _pairs(asked, first, second))
        found.append({"between": [first, second], **retrieve(*sides)})
    return found


class _Collected:
    """Vectors of samples, and which samples have which modality."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.present: dict[str, list[Bool[Tensor, " batch"]]] = {}
        self.vectors: dict[tuple[str, str], list[Tensor]] = {}

    def add(self, batch: Batch, modalities: Sequence[Modality], extractors: Mapping[str, NamedExtractor]) -> None:
        """Add the samples of a batch."""
        self.keys += batch.keys
        for modality in modalities:
            length = batch.lengths.get(modality.name)
            is_there = torch.ones(len(batch), dtype=torch.bool) if length is None else length.cpu() > 0
            self.present.setdefault(modality.name, []).append(is_there)
            self.vectors.setdefault((RAW, modality.name), []).append(raw_extractor(modality)(batch).float().cpu())
        for name, extractor in extractors.items():
            for modality_name, vectors in extractor(batch).items():
                self.vectors.setdefault((name, modality_name), []).append(vectors.cpu())


def _collect(
    modalities: Sequence[Modality],
    extractors: Mapping[str, NamedExtractor],
    batches: Iterable[Batch],
    *,
    limit: int | None,
) -> _Collected:
    collected = _Collected()
    for batch in batches:
        collected.add(batch, modalities, extractors)
        if limit is not None and len(collected.keys) >= limit:
            break
    return collected


def _pairs(collected: _Collected, first: str, second: str) -> Pairs:
    """Return the samples that have both modalities."""
    if not collected.keys:
        return Pairs(keys=(), first={}, second={})
    vectors = {place: torch.cat(parts) for place, parts in collected.vectors.items()}
    makers = [maker for maker, modality in vectors if modality == first and (maker, second) in vectors]
    every = Pairs(
        keys=tuple(collected.keys),
        first={maker: vectors[maker, first] for maker in makers},
        second={maker: vectors[maker, second] for maker in makers},
    )
    return every.rows(torch.cat(collected.present[first]) & torch.cat(collected.present[second]))
