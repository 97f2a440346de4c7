"""`maskloom eval`: everything that is measured of a run, as JSON and pictures in its folder."""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from pipelines.batch import Batch
from pipelines.stream import sequential
from pipelines.views import CenterCrop
from shards.dataset import Dataset
from trainers.checkpoint import CheckpointError, latest, restore_network
from trainers.evaluate.features import Features, encoder_extractor, extract, pixel_extractor
from trainers.evaluate.probes import majority, probe, reason_to_skip, split
from trainers.evaluate.reconstruction import contact_sheet, reconstruct
from trainers.nn.network import Network
from trainers.recipe import Recipe
from trainers.run import RunFolder

logger = logging.getLogger(__name__)

TRAINED, UNTRAINED, PIXELS = "trained encoder", "same encoder, random weights", "raw pixels"
BATCH = 64
PICTURES = 8


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained network with what is needed to show it samples."""

    recipe: Recipe
    network: Network
    step: int
    seed: int
    device: torch.device
    dtype: torch.dtype

    def untrained(self) -> Network:
        """The network as it was before its first step."""
        return self.recipe.network(seed=self.seed).to(self.device)

    def batches(self, dataset: Dataset, *, workers: int) -> Iterator[Batch]:
        """The samples of a dataset, uncropped but for their longer side, in the order of ids."""
        views = CenterCrop(size=self.recipe.modalities[0].size)
        return sequential(dataset, modalities=self.recipe.modalities, views=views, batch=BATCH, workers=workers)


def load_subject(run: RunFolder, *, device: torch.device, dtype: torch.dtype) -> Subject:
    """Rebuild the network of a run with the weights of its newest checkpoint.

    Raises:
        RunCardError: the folder holds no run, or the code no longer makes its recipe.
        CheckpointError: there is no checkpoint yet, or it is damaged.
    """
    card = run.card()
    checkpoint = latest(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(f"{run.root} has no checkpoint yet. Train it for at least one --save-every first.")
    recipe = card.rebuild()
    network = recipe.network(seed=card.seed).to(device)
    restore_network(checkpoint, network)
    return Subject(
        recipe=recipe, network=network, step=checkpoint.progress.step, seed=card.seed, device=device, dtype=dtype
    )


def evaluate(
    run: RunFolder, subject: Subject, data: Dataset, test: Dataset | None, *, limit: int | None, workers: int
) -> dict[str, Any]:
    """Measure a network on the first `limit` samples of a dataset; writes RUN/eval/<dataset>.json and its picture.

    The probes learn from `data` and are tested on `test`, or on a fifth of `data` when there is no `test`.
    """
    run.evaluations.mkdir(exist_ok=True)
    name = data.root.resolve().name
    result = {
        "step": subject.step,
        "dataset": {"path": str(data.root.resolve()), "dataset_id": data.dataset_id, "samples": data.num_samples},
        "test_dataset": test and {"path": str(test.root.resolve()), "dataset_id": test.dataset_id},
        "limit": limit,
        "classification": classify(subject, data, test, limit=limit, workers=workers),
        "reconstruction": draw(subject, test or data, run.evaluations / f"{name}.png"),
    }
    (run.evaluations / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def classify(
    subject: Subject, data: Dataset, test: Dataset | None, *, limit: int | None, workers: int
) -> dict[str, Any]:
    """Accuracies of both probes for three feature sets, or the reason why there are none."""
    for dataset in filter(None, (data, test)):
        if "label" not in dataset.manifest.fields:
            return {"skipped": f"{dataset.root} has no labels, so there is nothing to classify"}
    if test is None:
        train_features, test_features = split(_features(subject, data, limit=limit, workers=workers))
    else:
        train_features = _features(subject, data, limit=limit, workers=workers)
        test_features = _features(subject, test, limit=limit, workers=workers)
    reason = reason_to_skip(train_features, test_features)
    if reason is not None:
        return {"skipped": reason}
    return {
        "split": f"tested on {test.root}" if test else "one in five for testing, by the hash of the key",
        "train_samples": len(train_features.keys),
        "test_samples": len(test_features.keys),
        "majority": asdict(majority(train_features, test_features)),
        "scores": probe(train_features, test_features, device=subject.device),
    }


def _features(subject: Subject, dataset: Dataset, *, limit: int | None, workers: int) -> Features:
    """Vectors of the trained and the untrained encoder and of the pixels, in one pass over the data."""
    extractors = {
        TRAINED: encoder_extractor(subject.network, device=subject.device, dtype=subject.dtype),
        UNTRAINED: encoder_extractor(subject.untrained(), device=subject.device, dtype=subject.dtype),
        PIXELS: pixel_extractor(subject.recipe.modalities[0].field),
    }
    return extract(subject.batches(dataset, workers=workers), extractors, limit=limit)


def draw(subject: Subject, dataset: Dataset, path: Path) -> dict[str, str]:
    """Draw reconstructions of the first samples, masked as in training; or the reason why there are none."""
    batch = next(islice(subject.batches(dataset, workers=0), 1), None)
    if batch is None:
        return {"skipped": f"{dataset.root} has no sample"}
    shown = reconstruct(subject.network, subject.recipe, _masked(subject, batch).to(subject.device))
    if isinstance(shown, str):
        return {"skipped": shown}
    contact_sheet(shown.tiles).save(path, optimize=True)
    return {"picture": path.name, "note": shown.note}


def _masked(subject: Subject, batch: Batch) -> Batch:
    """The first samples of a batch with the recipe's masks of epoch 0."""
    keys = batch.keys[:PICTURES]
    plans = {
        modality.field: subject.recipe.masking[modality.field].plan(keys, modality=modality, seed=subject.seed, epoch=0)
        for modality in subject.recipe.modalities
    }
    inputs = {field: values[:PICTURES] for field, values in batch.inputs.items()}
    return replace(batch, keys=keys, inputs=inputs, plans=plans, labels=None)
