"""Shapes and types are checked while tests run, in every process that runs some."""

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from pipelines.masking.random import random_plan
from pipelines.randomness import hash_key
from trainers.nn.gather import gather_tokens


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        random_plan(torch.zeros(2, 3, 4), 1)


def test_axes_of_one_name_have_one_length() -> None:
    tokens, index = torch.zeros(2, 3, 4), torch.zeros(2, 1, dtype=torch.int64)
    assert gather_tokens(tokens, index).shape == (2, 1, 4)
    with pytest.raises(TypeCheckError):
        gather_tokens(tokens, torch.zeros(3, 1, dtype=torch.int64))


def test_types_are_checked_where_there_is_no_shape() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        hash_key(1.5)  # type: ignore[arg-type]
