"""What tokenizers of every kind are worth, and how it looks."""

import math
from typing import Any

import pytest
import torch

from pipelines.modalities import Features, Image
from tests.batches import make_batch
from tests.pipelines.tokenizers.vq.making import CLASSES, DEPTH, EVERY, FEATURES, IMAGE, LOGMEL, POINTS, make, rows
from trainers.evaluate.token_pictures import draw_tokens
from trainers.evaluate.tokens import Shown, measure_of, measure_tokens, show
from trainers.registry import resolve_recipe

NAMES = {
    IMAGE: "PSNR",
    LOGMEL: "mean absolute error",
    DEPTH: "mean relative error",
    CLASSES: "pixels of the right class",
    POINTS: "Chamfer distance (L1)",
    FEATURES: "mean cosine",
}
by_name = pytest.mark.parametrize("modality", EVERY, ids=lambda modality: f"{modality.name}")
RECIPE = resolve_recipe("vq_image", size="tiny")
"""Its target is not stored, which is all that is asked of it here."""


def shown(modality: Any, batch: int = 3) -> tuple[Any, Shown]:
    tokenizer = make(modality).eval()
    keys = [f"k{place}" for place in range(batch)]
    return tokenizer, show(tokenizer, RECIPE, make_batch(keys, {modality.name: rows(modality, batch)}))


@by_name
def test_every_kind_is_drawn_as_square_tiles(modality: Any) -> None:
    drawn = draw_tokens(*shown(modality))
    samples, tiles, height, width, channels = drawn.pictures.shape
    assert (samples, tiles, channels) == (3, 3, 3)
    assert height == width
    assert (drawn.pictures[:, 0] != drawn.pictures[:, 2]).any()
    assert ("principal components" in drawn.note) == isinstance(modality, Features)


def test_features_are_drawn_alike_whatever_was_drawn_at_random_before() -> None:
    tokenizer, found = shown(FEATURES)
    drawn = []
    for seed in range(2):
        torch.manual_seed(seed)
        drawn.append(draw_tokens(tokenizer, found).pictures)
        after = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.equal(torch.rand(1), after)
    assert (drawn[0] == drawn[1]).all()


def test_a_picture_stands_before_the_features_that_it_was_turned_into() -> None:
    tokenizer = make(IMAGE, gives="features").eval()
    ids = tokenizer.encode(rows(IMAGE))
    gave = tokenizer.decode(ids)
    drawn = draw_tokens(tokenizer, Shown(inputs=rows(IMAGE), ids=ids, gave=gave, wanted=torch.randn_like(gave)))
    assert drawn.pictures.shape[1] == 4


@by_name
def test_every_kind_has_a_measure_that_is_best_when_all_is_given_back(modality: Any) -> None:
    tokenizer, found = shown(modality)
    measure = measure_of(tokenizer)
    assert measure.name == NAMES[modality]
    given, perfect = measure.of(found.gave, found.wanted), measure.of(found.wanted, found.wanted)
    higher = isinstance(modality, Image | Features) or modality is CLASSES
    assert ((perfect > given) if higher else (perfect < given)).all()


def test_peak_signal_to_noise_is_that_of_its_definition() -> None:
    black, grey = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.full((1, 3, 4, 4), 51, dtype=torch.uint8)
    assert measure_of(make(IMAGE)).of(grey, black).item() == pytest.approx(20 * math.log10(255 / 51))


def test_use_is_counted_over_the_first_samples_only() -> None:
    tokenizer = make(IMAGE)
    batches = [make_batch([f"{batch}{place}" for place in range(3)], {"image": rows(IMAGE)}) for batch in range(3)]
    found = measure_tokens(tokenizer, RECIPE, iter(batches), device=torch.device("cpu"), limit=4)
    assert (found["samples"], found["tokens"]) == (4, 16)
    assert found["codebook"]["seen"] == len(tokenizer.encode(rows(IMAGE)).unique()) / 12
