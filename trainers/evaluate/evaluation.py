"""`maskloom eval`: everything that is measured of a run, as JSON and pictures in its folder."""

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.loading import loading_by
from pipelines.masking.plan import MaskContext, stored_of_masking
from pipelines.masking.separate import plans_of
from pipelines.modalities import Stored
from pipelines.randomness import Draws
from pipelines.stream import sequential
from shards.dataset import Dataset
from shards.errors import MissingTargetError
from shards.storage import make_folder, replace_file
from trainers.checkpoint import CheckpointError, latest, restore_network
from trainers.evaluate.cross_modal import retrieval
from trainers.evaluate.drawing.prediction import Drawing, Guesses, Tiles
from trainers.evaluate.drawing.sheet import contact_sheet
from trainers.evaluate.features import Features, NamedExtractor, each_extractor, encoder_extractor, extract
from trainers.evaluate.labels import class_numbers, renumber, require_known_numbers
from trainers.evaluate.probes import majority, probe, reason_to_skip, split
from trainers.evaluate.progress import Say, say_nothing, told
from trainers.evaluate.raw import raw_extractor, raw_name
from trainers.evaluate.reconstruction import reasons_not_to_draw, reconstruct
from trainers.evaluate.token_pictures import draw_tokens
from trainers.evaluate.tokens import measure_tokens, show, token_batches
from trainers.models.vq_autoencoder import VqAutoencoderNetwork
from trainers.nn.network import Network
from trainers.recipe import Recipe
from trainers.run import RunFolder
from trainers.stored import Recorded

logger = logging.getLogger(__name__)

TRAINED, UNTRAINED = "trained encoder", "same encoder, random weights"
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
    recorded: Recorded
    say: Say = say_nothing

    def untrained(self) -> Network:
        """The network as it was before its first step."""
        return self.recipe.network(seed=self.seed).to(self.device)

    def compared(self) -> dict[str, Network]:
        """The networks that are measured side by side."""
        return {TRAINED: self.network, UNTRAINED: self.untrained()}

    def each_alone(self) -> dict[str, NamedExtractor]:
        """What each of these says of each modality alone."""
        return {
            name: each_extractor(network, device=self.device, dtype=self.dtype)
            for name, network in self.compared().items()
        }

    def batches(self, dataset: Dataset, *, workers: int) -> Iterator[Batch]:
        """The samples of a dataset, uncropped but for their longer side, in the order of ids.

        Where the network is shown what a teacher stored, these are the views that it was shown.
        """
        if any(isinstance(shown, Stored) for shown in self.recipe.modalities):
            return token_batches(self.recipe, dataset, self.recorded, workers=workers)
        return sequential(
            dataset,
            modalities=self.recipe.modalities,
            views=[self.recipe.still_views()] * self.recipe.num_looks,
            batch=BATCH,
            loading=loading_by(workers=workers),
        )

    def told_batches(self, dataset: Dataset, *, limit: int | None, workers: int, what: str) -> Iterator[Batch]:
        """The same, saying now and then how far they are."""
        total = dataset.num_samples if limit is None else min(limit, dataset.num_samples)
        return told(
            self.batches(dataset, workers=workers), what=f"{what} {dataset.root.name}", total=total, say=self.say
        )


def load_subject(
    run: RunFolder,
    *,
    device: torch.device,
    dtype: torch.dtype,
    typed_recipe: str | None = None,
    say: Say = say_nothing,
) -> Subject:
    """Rebuild the network of a run with the weights of its newest checkpoint.

    `typed_recipe` is the recipe that the user named on this command line, if any; see `RunCard.rebuild`. `say` prints how far
    evaluation is.

    Raises:
        RunCardError: the folder holds no run, its recipe is code that was not named, or is no longer what it was.
        CheckpointError: there is no checkpoint yet, or it is damaged.
    """
    card = run.card()
    checkpoint = latest(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(f"{run.root} has no checkpoint yet. Train it for at least one --save-every first.")
    recipe = card.rebuild(typed=typed_recipe)
    network = recipe.network(seed=card.seed).to(device)
    restore_network(checkpoint, network)
    return Subject(
        recipe=recipe,
        network=network,
        step=checkpoint.progress.step,
        seed=card.seed,
        device=device,
        dtype=dtype,
        recorded=card.stored,
        say=say,
    )


def evaluate(
    run: RunFolder, subject: Subject, data: Dataset, test: Dataset | None, *, limit: int | None, workers: int
) -> dict[str, Any]:
    """Measure a network on the first `limit` samples of a dataset; writes RUN/eval/<dataset>.json and pictures.

    The probes learn from `data` and are tested on `test`, or on a fifth of `data` when there is no `test`.

    Raises:
        SettingsError: the classes of `test` cannot be matched with those of `data`.
        StorageError: the results cannot be written.
    """
    make_folder(run.evaluations)
    name = _result_name(run, data)
    result = {
        "step": subject.step,
        "dataset": {"path": str(data.root.resolve()), "dataset_id": data.dataset_id, "samples": data.num_samples},
        "test_dataset": test and {"path": str(test.root.resolve()), "dataset_id": test.dataset_id},
        "limit": limit,
        "classification": classify(subject, data, test, limit=limit, workers=workers),
        "retrieval": find_across(subject, data, test, limit=limit, workers=workers),
        "reconstructions": draw(run, subject, test or data, name=name),
        "tokens": count_tokens(run, subject, test or data, limit=limit, workers=workers),
    }
    replace_file(run.root, run.evaluations / f"{name}.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def _result_name(run: RunFolder, data: Dataset) -> str:
    """The name of the dataset's folder, with the start of its id if another dataset of that name was measured before."""
    name = data.root.resolve().name
    path = run.evaluations / f"{name}.json"
    if not path.is_file() or json.loads(path.read_text())["dataset"]["dataset_id"] == data.dataset_id:
        return name
    return f"{name}-{data.dataset_id[:8]}"


def classify(
    subject: Subject, data: Dataset, test: Dataset | None, *, limit: int | None, workers: int
) -> dict[str, Any]:
    """Accuracies of both probes for three feature sets, or the reason why there are none."""
    if isinstance(subject.network, VqAutoencoderNetwork):
        return {"skipped": "a tokenizer is measured by its ids, not by its features"}
    for dataset in filter(None, (data, test)):
        if "label" not in dataset.manifest.fields:
            return {"skipped": f"{dataset.root} has no labels, so there is nothing to classify"}
    if test is None:
        train_features, test_features = split(_features(subject, data, limit=limit, workers=workers))
    else:
        train_features, test_features = _both_features(subject, data, test, limit=limit, workers=workers)
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


def _both_features(
    subject: Subject, data: Dataset, test: Dataset, *, limit: int | None, workers: int
) -> tuple[Features, Features]:
    """Features of two datasets, with the labels of the second as the first numbers its classes."""
    numbers = class_numbers(data, test)
    train_features = _features(subject, data, limit=limit, workers=workers)
    test_features = _features(subject, test, limit=limit, workers=workers)
    if numbers is not None:
        return train_features, renumber(test_features, numbers)
    require_known_numbers(data, test, train_features, test_features)
    return train_features, test_features


def _features(subject: Subject, dataset: Dataset, *, limit: int | None, workers: int) -> Features:
    """Vectors of the trained and the untrained encoder and of the samples themselves, in one pass over the data."""
    batches = subject.told_batches(dataset, limit=limit, workers=workers, what="Encoding labelled samples of")
    return extract(batches, _everything_about(subject), limit=limit)


def _everything_about(subject: Subject) -> NamedExtractor:
    """What makes all vectors of a batch that are compared.

    Where there are several modalities, what each says alone is measured beside what all say together.
    """
    several = has_several(subject.recipe)
    shown = [modality for modality in subject.recipe.modalities if not isinstance(modality, Stored)]
    shown = shown if several else shown[:1]
    names = [modality.name for modality in shown]
    together = {
        name: encoder_extractor(network, device=subject.device, dtype=subject.dtype)
        for name, network in subject.compared().items()
    }
    alone = subject.each_alone() if several else {}
    raw = {
        f"{raw_name(modality)}, {modality.name}" if several else raw_name(modality): raw_extractor(modality)
        for modality in shown
    }

    def vectors(batch: Batch) -> dict[str, Tensor]:
        each = {name: extractor(batch) for name, extractor in alone.items()}
        return (
            {name: extractor(batch) for name, extractor in together.items()}
            | {f"{maker}, {name} alone": each[maker][name] for name in names for maker in each}
            | {name: extractor(batch) for name, extractor in raw.items()}
        )

    return vectors


def has_several(recipe: Recipe) -> bool:
    """Tell whether a network of a recipe has several modalities to tell apart: not one that is looked at twice."""
    shown = [modality for modality in recipe.modalities if not isinstance(modality, Stored)]
    return len({(modality.field, modality.look) for modality in shown}) > 1


def find_across(
    subject: Subject, data: Dataset, test: Dataset | None, *, limit: int | None, workers: int
) -> list[dict[str, Any]]:
    """What is found across modalities by the trained and the untrained network and by raw values; nothing of one modality."""
    if not has_several(subject.recipe) or isinstance(subject.network, VqAutoencoderNetwork):
        return []
    what = "Encoding each modality of"
    return retrieval(
        subject.recipe.modalities,
        subject.each_alone(),
        subject.told_batches(data, limit=limit, workers=workers, what=what),
        None if test is None else subject.told_batches(test, limit=limit, workers=workers, what=what),
        limit=limit,
    )


def draw(run: RunFolder, subject: Subject, dataset: Dataset, *, name: str) -> list[dict[str, Any]]:
    """Draw every target at the first samples, masked as in training; pictures go to RUN/eval/<name>-<target>.png.

    One record for each target: its `picture` or its `guesses`, with a `note`; or that it was `skipped`, and why.
    """
    drawings = _tokenizer_drawings(subject, dataset) or _drawings(subject, dataset)
    return [
        {"target": target.name, "modality": target.modality}
        | _kept(run, drawings[target.name], run.evaluations / f"{name}-{target.name}.png")
        for target in subject.recipe.targets
    ]


def _kept(run: RunFolder, drawing: Drawing | str, path: Path) -> dict[str, Any]:
    """Return what is written down of a drawing; pictures are written to `path`."""
    match drawing:
        case Tiles():
            drawn = io.BytesIO()
            contact_sheet(drawing).save(drawn, "PNG", optimize=True)
            replace_file(run.root, path, drawn.getvalue())
            return {"picture": path.name, "note": drawing.note}
        case Guesses():
            return {"guesses": [asdict(caption) for caption in drawing.captions], "note": drawing.note}
        case str():
            return {"skipped": drawing}


def _tokenizer_drawings(subject: Subject, dataset: Dataset) -> Mapping[str, Drawing | str]:
    """Return the drawing of the target of a tokenizer; nothing of other networks."""
    if not isinstance(subject.network, VqAutoencoderNetwork):
        return {}
    recipe, tokenizer = subject.recipe, subject.network.tokenizer.eval()
    batch = next(token_batches(recipe, dataset, subject.recorded, workers=0), None)
    name = recipe.targets[0].name
    if batch is None:
        return {name: f"{dataset.root} has no sample"}
    return {name: draw_tokens(tokenizer, show(tokenizer, recipe, batch.rows(slice(PICTURES)).to(subject.device)))}


def _drawings(subject: Subject, dataset: Dataset) -> Mapping[str, Drawing | str]:
    """Return the drawings of all targets by their names, or why there are none."""
    recipe = subject.recipe
    reasons = reasons_not_to_draw(recipe)
    if len(reasons) == len(recipe.targets):
        return reasons
    try:
        batch = next(_batches_to_mask(subject, dataset), None)
    except MissingTargetError as error:
        return dict.fromkeys((target.name for target in recipe.targets), str(error)) | reasons
    if batch is None:
        return dict.fromkeys((target.name for target in recipe.targets), f"{dataset.root} has no sample")
    return reconstruct(subject.network, recipe, _masked(subject, batch), device=subject.device)


def _batches_to_mask(subject: Subject, dataset: Dataset) -> Iterator[Batch]:
    """Return samples with what their masks are made from, read from the dataset if need be."""
    recipe = subject.recipe
    maskings = recipe.masking.values() if isinstance(recipe.masking, Mapping) else (recipe.masking,)
    if any(map(stored_of_masking, maskings)):
        return token_batches(recipe, dataset, subject.recorded, workers=0)
    return subject.batches(dataset, workers=0)


def count_tokens(
    run: RunFolder, subject: Subject, dataset: Dataset, *, limit: int | None, workers: int
) -> dict[str, Any] | None:
    """What a tokenizer makes of a dataset; None where the network is none."""
    if not isinstance(subject.network, VqAutoencoderNetwork):
        return None
    card = run.card()
    batches = token_batches(subject.recipe, dataset, card.stored, workers=workers)
    measured = measure_tokens(subject.network.tokenizer, subject.recipe, batches, device=subject.device, limit=limit)
    return measured | {"held_out": is_held_out(dataset.dataset_id, [record.dataset_id for record in card.datasets])}


def is_held_out(dataset_id: str, trained_on: Sequence[str]) -> bool:
    """Tell whether a dataset, or a split of it, shares no sample with those that were trained on.

    Splits of one dataset share none; the whole of it holds the samples of all of them.
    """
    identity, _, split_name = dataset_id.partition(":")
    same = [other.partition(":")[2] for other in trained_on if other.partition(":")[0] == identity]
    return all(split_name and other and split_name != other for other in same)


def _masked(subject: Subject, batch: Batch) -> Batch:
    """The first samples of a batch with the recipe's masks of epoch 0."""
    shown = batch.rows(slice(PICTURES))
    draws = Draws.of(shown.keys, epochs=[0] * len(shown), seed=subject.seed)
    context = MaskContext(draws=draws, inputs=shown.inputs, stored=shown.stored, lengths=shown.lengths)
    return replace(shown, plans=plans_of(subject.recipe.masking, context, subject.recipe.modalities))
