"""Small versions of all recipes, and batches for them made by hand, whatever their modalities and stored targets are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.masking.plan import stored_of_masking
from pipelines.masking.separate import plans_of
from pipelines.modalities import Clip, Features, Image, LogMel, Points, Raster, Text, Tokens
from pipelines.tokenizers.vq.codebook import CosineCodebook
from tests.batches import context_of, make_batch
from trainers.recipe import Recipe
from trainers.registry import resolve_recipe

KEYS = ("a", "b", "c", "d")
LENGTHS = torch.tensor([12, 9, 6, 12])
"""Words of the captions."""
SIZES: Mapping[type, Mapping[str, str]] = {
    Image: {"size": "32", "patch": "8"},
    Raster: {"size": "32", "patch": "8"},
    Clip: {"size": "32", "patch": "8", "frames": "4"},
    LogMel: {"frames": "32", "bins": "16", "patch": "8"},
    Points: {"count": "48", "groups": "6", "neighbours": "8"},
    Features: {"grid": "4,4", "dim": "24"},
    Tokens: {"grid": "4,4", "vocabulary": "16"},
    Text: {"length": "12", "tokenizer": "bytes"},
}
"""What makes modalities small."""


def small_settings(name: str) -> tuple[str, ...]:
    """Return settings that make a recipe small enough to take milliseconds for a step."""
    recipe = resolve_recipe(name, size="tiny")
    settings = ["model.depth=2", "training.batch=4"]
    for modality in recipe.modalities:
        sizes = SIZES[type(modality)]
        settings += [f"modalities.{modality.name}.{field}={value}" for field, value in sizes.items()]
    for target in recipe.targets:
        if hasattr(target, "width"):
            settings.append(f"targets.{target.name}.width=24")
        if hasattr(target, "classes"):
            settings.append(f"targets.{target.name}.classes=5")
        if hasattr(target, "vocabulary"):
            settings.append(f"targets.{target.name}.vocabulary=16")
    if hasattr(recipe.model, "own_depth") and recipe.model.own_depth:
        settings.append("model.own_depth=1")
    if hasattr(recipe.model, "late"):
        settings.append("model.late=1")
    if isinstance(getattr(recipe.model, "codebook", None), CosineCodebook):
        settings += ["model.codebook.size=16", "model.decoder_depth=1"]
    return tuple(settings)


def batch_for(recipe: Recipe, *, seed: int = 0) -> Batch:
    """Return samples that are smooth noise, as real ones are smooth too, and stored targets as teachers say them."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {modality.name: rendered(modality, generator) for modality in recipe.modalities}
    stored = stored_for(recipe, generator)
    lengths = {modality.name: LENGTHS for modality in recipe.modalities if isinstance(modality, Text)}
    return masked(recipe, make_batch(KEYS, inputs, plans={}, stored=stored, lengths=lengths))


def masked(recipe: Recipe, batch: Batch) -> Batch:
    """Return a batch with the plans of the recipe."""
    context = replace(context_of(KEYS), inputs=batch.inputs, stored=batch.stored, lengths=batch.lengths)
    return replace(batch, plans=plans_of(recipe.masking, context, recipe.modalities))


def stored_for(recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
    """Return what teachers say of four samples: ids or numbers for targets, nonnegative scores for maskings."""
    stored: dict[str, Tensor] = {}
    for target in recipe.targets:
        if target.stored is not None and target.stored not in stored:
            shape = (len(KEYS), *target.stored_shape(recipe.modality(target.modality)))
            vocabulary = getattr(target, "vocabulary", None)
            stored[target.stored] = (
                torch.randint(vocabulary, shape, generator=generator)
                if vocabulary
                else torch.randn(shape, generator=generator)
            )
    for name, masking in recipe.masking.items() if isinstance(recipe.masking, Mapping) else ():
        for score in stored_of_masking(masking):
            stored[score] = torch.rand(len(KEYS), recipe.modality(name).num_tokens, generator=generator)
    return stored


def rendered(modality: Any, generator: torch.Generator) -> Tensor:
    """Return what a modality renders to, of four samples."""
    match modality:
        case Image():
            return (smooth(modality.channels, modality.size, modality.size, generator) * 255).to(torch.uint8)
        case Clip():
            frames = smooth(3 * modality.frames, modality.size, modality.size, generator)
            return (frames.unflatten(1, (3, modality.frames)) * 255).to(torch.uint8)
        case Raster(is_ids=True):
            return (smooth(modality.channels, modality.side, modality.side, generator) * 6).long()
        case Raster():
            depth = smooth(modality.channels, modality.side, modality.side, generator) * 3000 + 500
            return torch.where(depth > 3200, 0.0, depth)
        case LogMel():
            return smooth(1, modality.frames, modality.bins, generator)[:, 0] * 12 - 12
        case Text():
            ids = torch.randint(4, modality.tokenizer.vocabulary, (len(KEYS), modality.length), generator=generator)
            return ids.masked_fill(torch.arange(modality.length) >= LENGTHS[:, None], modality.tokenizer.padding_id)
        case Points():
            return torch.randn(len(KEYS), modality.count, modality.columns, generator=generator)
        case Tokens():
            return torch.randint(modality.vocabulary, (len(KEYS), modality.num_tokens), generator=generator)
        case Features():
            return torch.randn(len(KEYS), modality.num_tokens, modality.dim, generator=generator)
        case _:
            raise NotImplementedError(f"Say in {__name__} what a batch holds of {modality}.")


def smooth(channels: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return smooth noise between 0 and 1."""
    coarse = torch.rand(len(KEYS), channels, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


def decoders_of(recipe: Recipe) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what decodes the stored targets of `batch_for`, which are not coded."""
    return {name: lambda rows: rows for name in recipe.stored_targets()}
