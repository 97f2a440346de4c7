"""What tokenizers of every kind promise: ids in range, the unit of the input, the same alone as among others."""

from typing import Any

import pytest
import torch

from pipelines.modalities import Points
from pipelines.tokenizers.vq.codebook import CosineCodebook, FiniteScalars
from shards.errors import SettingsError
from tests.pipelines.tokenizers.vq.making import (
    CLASSES,
    COSINE,
    DEPTH,
    EVERY,
    FEATURES,
    IMAGE,
    POINTS,
    SCALARS,
    make,
    rows,
)

by_name = pytest.mark.parametrize("modality", EVERY, ids=lambda modality: f"{modality.name}")


@by_name
@pytest.mark.parametrize("codebook", [COSINE, SCALARS], ids=["cosine", "scalars"])
def test_ids_are_of_the_vocabulary_and_one_for_each_token(modality: Any, codebook: Any) -> None:
    tokenizer = make(modality, codebook).eval()
    ids = tokenizer.encode(rows(modality))
    assert ids.dtype == torch.int64
    assert ids.shape == (3, modality.num_tokens) == (3, tokenizer.num_tokens)
    assert 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.vocabulary
    assert tokenizer.grid == tuple(modality.grid)


@by_name
def test_what_is_given_back_has_the_form_of_the_input(modality: Any) -> None:
    tokenizer, inputs = make(modality).eval(), rows(modality)
    given = tokenizer.decode(tokenizer.encode(inputs))
    if isinstance(modality, Points):
        assert given.shape == (3, 5, 6, 3)
    else:
        assert given.shape == inputs.shape
        assert given.dtype == inputs.dtype
    assert given.isfinite().all()
    if modality is DEPTH:
        assert given.min() > 0


@by_name
def test_ids_do_not_depend_on_what_else_is_in_the_batch(modality: Any) -> None:
    tokenizer, inputs = make(modality).eval(), rows(modality)
    alone = torch.cat([tokenizer.encode(row[None]) for row in inputs])
    assert torch.equal(alone, tokenizer.encode(inputs))


@by_name
def test_encoding_and_decoding_teach_nothing_even_in_training_mode(modality: Any) -> None:
    tokenizer = make(modality).train()
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    tokenizer.decode(tokenizer.encode(rows(modality)))
    assert all(torch.equal(value, before[name]) for name, value in tokenizer.state_dict().items())


def test_encode_finds_the_ids_that_training_used() -> None:
    for codebook in (COSINE, SCALARS):
        tokenizer = make(IMAGE, codebook).eval()
        assert torch.equal(tokenizer(rows(IMAGE)).ids, tokenizer.encode(rows(IMAGE)))


def test_a_tokenizer_taught_by_a_teacher_gives_its_features() -> None:
    tokenizer = make(IMAGE, gives="features").eval()
    assert tokenizer.decode(tokenizer.encode(rows(IMAGE))).shape == (3, 4, 7)


def test_a_tokenizer_of_features_tells_their_shape_instead_of_a_modality() -> None:
    assert (make(FEATURES).modality, make(FEATURES).feature_shape) == (None, (6, 10))
    assert (make(IMAGE).modality, make(IMAGE).feature_shape) == (IMAGE, None)


def test_the_unit_of_depth_changes_no_id_once_it_was_learned() -> None:
    ids = []
    for unit in (1.0, 0.001):
        tokenizer = make(DEPTH).train()
        tokenizer(rows(DEPTH) * unit)
        ids.append(tokenizer.eval().encode(rows(DEPTH) * unit))
    assert torch.equal(*ids)


def test_ids_that_are_no_class_are_all_shown_alike() -> None:
    tokenizer, inputs = make(CLASSES).eval(), rows(CLASSES)
    assert torch.equal(tokenizer.encode(inputs), tokenizer.encode(inputs.where(inputs >= 0, 1000)))


def test_attributes_place_and_size_of_a_cloud_change_no_id() -> None:
    tokenizer, inputs = make(POINTS).eval(), rows(POINTS)
    moved = inputs.clone()
    moved[..., :3] = moved[..., :3] * 4 + 2
    moved[..., 3] = 7
    assert torch.equal(tokenizer.encode(inputs), tokenizer.encode(moved))


@pytest.mark.parametrize(
    ("ids", "message"),
    [(torch.full((1, 4), 12), "knows the ids 0 to 11"), (torch.zeros(1, 5, dtype=torch.long), "4 ids to a sample")],
)
def test_ids_of_another_tokenizer_are_refused(ids: torch.Tensor, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(IMAGE).decode(ids)


def test_rows_of_another_size_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"takes rows of shape \(3, 16, 16\) of 'image', not \(3, 32, 32\)"):
        make(IMAGE).encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_codebooks_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingsError, match="makes no sense"):
        CosineCodebook(size=1, dim=4, decay=0.9, dead_below=0.1)
    with pytest.raises(SettingsError, match="give 3 or more"):
        FiniteScalars(levels=(2, 8))
