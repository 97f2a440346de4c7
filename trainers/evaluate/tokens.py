"""What a tokenizer is worth: how it uses its codes, and how well it gives back what it was shown."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import cosine_similarity

from pipelines.batch import Batch
from pipelines.loading import loading_by
from pipelines.modalities import Image, LogMel, Points, Raster
from pipelines.stream import sequential
from pipelines.target_coding import decoder_of
from pipelines.tokenizers.vq import VqTokenizer
from pipelines.tokenizers.vq.file import codebook_use
from pipelines.tokenizers.vq.groups import chamfer_distances, group_points
from pipelines.views import ViewSet
from shards.dataset import Dataset
from trainers.recipe import Decoder, Recipe
from trainers.stored import Recorded, open_stored

BATCH = 64
MAX_PIXEL = 255.0

Rows = Shaped[Tensor, "batch ..."]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Samples, and what a tokenizer makes of them: `ids` [batch, tokens], what it `gave`, what was `wanted`."""

    inputs: Rows
    ids: Rows
    gave: Rows
    wanted: Rows


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How well samples are given back: `of` gives one number for each, NaN where there is nothing to compare."""

    name: str
    unit: str
    of: Callable[[Rows, Rows], Float[Tensor, " batch"]]


def token_batches(recipe: Recipe, dataset: Dataset, recorded: Recorded, *, workers: int) -> Iterator[Batch]:
    """Yield all samples of a dataset with what their teachers said, decoded, in the order of ids.

    Raises:
        MissingTargetError: The dataset does not hold the stored target that the recipe reads.
    """
    tables = open_stored(recipe, dataset, recorded)
    views = [ViewSet.from_json(table.spec.views) for table in tables.values()]
    batches = sequential(
        dataset,
        modalities=recipe.modalities,
        views=views[0] if views else recipe.still_views(),
        batch=BATCH,
        stored=tables,
        loading=loading_by(workers=workers),
    )
    decoders = {name: decoder_of(table) for name, table in tables.items()}
    for batch in batches:
        yield _decoded(batch, decoders)


def _decoded(batch: Batch, decoders: Mapping[str, Decoder]) -> Batch:
    return replace(batch, stored={name: decode(batch.stored[name]) for name, decode in decoders.items()})


def show(tokenizer: VqTokenizer, recipe: Recipe, batch: Batch) -> Shown:
    """Encode and decode the samples of a batch, which is on the device of the tokenizer."""
    modality = tokenizer.spec.modality
    inputs = batch.inputs[modality.name]
    ids = tokenizer.encode(inputs)
    stored = recipe.targets[0].stored
    if isinstance(modality, Points):
        wanted = group_points(inputs, modality).points
    else:
        wanted = inputs if stored is None else batch.stored[stored]
    return Shown(inputs=inputs, ids=ids, gave=tokenizer.decode(ids), wanted=wanted)


@torch.no_grad()
def measure_tokens(
    tokenizer: VqTokenizer, recipe: Recipe, batches: Iterator[Batch], *, device: torch.device, limit: int | None
) -> dict[str, Any]:
    """Return codebook use and reconstruction over the first `limit` samples; see `codebook_use` and `measure_of`.

    The tokenizer is put into evaluation mode. With fewer tokens than codes, not all codes can be used.
    """
    tokenizer.eval()
    measure = measure_of(tokenizer)
    counts = torch.zeros(tokenizer.vocabulary, dtype=torch.float64)
    scores: list[Tensor] = []
    for batch in batches:
        left = len(batch) if limit is None else min(len(batch), limit - sum(map(len, scores)))
        shown = show(tokenizer, recipe, batch.rows(slice(left)).to(device))
        counts += torch.bincount(shown.ids.flatten().cpu(), minlength=tokenizer.vocabulary)
        scores.append(measure.of(shown.gave, shown.wanted).cpu())
        if limit is not None and sum(map(len, scores)) >= limit:
            break
    every = torch.cat(scores) if scores else torch.empty(0)
    return {
        "samples": len(every),
        "tokens": int(counts.sum()),
        "codebook": codebook_use(counts) | {"seen": float((counts > 0).double().mean())},
        "reconstruction": {"name": measure.name, "unit": measure.unit, "mean": float(every.nanmean())},
    }


def measure_of(tokenizer: VqTokenizer) -> Measure:
    """Return what tells how well a tokenizer gives back what it was shown."""
    if tokenizer.spec.gives == "features":
        return _COSINE
    match tokenizer.spec.modality:
        case Image():
            return Measure(name="PSNR", unit="dB", of=_signal_to_noise)
        case LogMel():
            return Measure(name="mean absolute error", unit="nepers of power", of=_absolute_error)
        case Raster(is_ids=True):
            return Measure(name="pixels of the right class", unit="share", of=_accuracy(tokenizer.spec.classes or 0))
        case Raster():
            return Measure(name="mean relative error", unit="share of the value", of=_relative_error)
        case Points():
            return Measure(name="Chamfer distance (L1)", unit="radii of the cloud", of=_chamfer)
        case _:
            return _COSINE


def _signal_to_noise(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
    """Return the peak signal-to-noise ratio of each picture; of pictures given back exactly, that of an error of 1 / 255."""
    errors = (gave.float() - wanted.float()).square().flatten(1).mean(dim=1)
    ratio: Tensor = 10 * torch.log10(MAX_PIXEL**2 / errors.clamp(min=1 / MAX_PIXEL**2))
    return ratio


def _absolute_error(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
    return (gave - wanted).abs().flatten(1).mean(dim=1)


def _relative_error(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
    known = (wanted > 0) & wanted.isfinite()
    errors = torch.where(known, (gave - wanted).abs() / wanted, torch.nan)
    return errors.flatten(1).nanmean(dim=1)


def _accuracy(classes: int) -> Callable[[Rows, Rows], Float[Tensor, " batch"]]:
    def accuracy(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
        known = (wanted >= 0) & (wanted < classes)
        return torch.where(known, (gave == wanted).float(), torch.nan).flatten(1).nanmean(dim=1)

    return accuracy


def _cosine(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
    return cosine_similarity(gave.float(), wanted.float(), dim=-1).mean(dim=1)


def _chamfer(gave: Rows, wanted: Rows) -> Float[Tensor, " batch"]:
    there, back = chamfer_distances(gave.flatten(0, 1), wanted.flatten(0, 1))
    distances = (there.sqrt().mean(dim=1) + back.sqrt().mean(dim=1)) / 2
    return distances.reshape(gave.shape[:2]).mean(dim=1)


_COSINE = Measure(name="mean cosine", unit="from -1 to 1", of=_cosine)
