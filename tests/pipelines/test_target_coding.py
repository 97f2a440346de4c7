from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from pipelines.target_coding import decode, encode, fit_projection
from shards.errors import SettingsError
from shards.target_spec import Coding, parse_coding

VALUES = arrays(np.float32, (3, 4, 6), elements=st.floats(-1e4, 1e4, width=32))


def round_trip(values: Tensor, coding: Coding, projection: Tensor | None = None) -> Tensor:
    rows = encode(values, coding, projection)
    assert rows.shape == (len(values), *coding.stored_shape(tuple(values.shape[1:])))
    assert rows.dtype == coding.dtype
    return decode(torch.from_numpy(rows), coding, projection)


@given(VALUES)
def test_int8_is_off_by_half_a_step_of_each_token_at_most(values: np.ndarray) -> None:
    tensor = torch.from_numpy(values)
    step = tensor.abs().amax(dim=-1, keepdim=True) / 127
    assert ((round_trip(tensor, Coding(dtype="int8")) - tensor).abs() <= step / 2 * 1.001 + 1e-30).all()


@given(VALUES)
def test_float32_comes_back_as_it_was(values: np.ndarray) -> None:
    assert torch.equal(round_trip(torch.from_numpy(values), Coding(dtype="float32")), torch.from_numpy(values))


@pytest.mark.parametrize("dtype, ids", [("uint16", 1 << 16), ("uint32", 1 << 31)])
def test_ids_come_back_exactly_as_int64(dtype: str, ids: int) -> None:
    drawn = torch.randint(ids, (5, 7))
    drawn[0, 0] = ids - 1
    back = round_trip(drawn, Coding(dtype=dtype))
    assert back.dtype == torch.int64
    assert torch.equal(back, drawn)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_token_of_zeros_stays_one(dtype: str) -> None:
    assert not round_trip(torch.zeros(2, 3, 4), Coding(dtype=dtype)).any()


def low_rank(rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(500, rank, generator=generator) @ torch.randn(rank, 16, generator=generator) + 3


@pytest.mark.parametrize("dtype, worst", [("float32", 1e-4), ("float16", 2e-2), ("int8", 0.2)])
def test_as_many_components_as_there_are_directions_lose_nothing_but_rounding(dtype: str, worst: float) -> None:
    tokens = low_rank(5)
    coding = Coding(dtype=dtype, components=5)
    back = round_trip(tokens[:, None], coding, fit_projection(tokens, 5))
    assert (back[:, 0] - tokens).abs().max() < worst


def test_components_are_orthonormal_sorted_by_variance_and_leave_out_the_least() -> None:
    tokens = low_rank(16) * torch.linspace(1, 4, 16)
    projection = fit_projection(tokens, 4)
    assert torch.allclose(projection[1:] @ projection[1:].T, torch.eye(4), atol=1e-5)
    variances = ((tokens - projection[0]) @ projection[1:].T).var(dim=0)
    assert torch.equal(variances.sort(descending=True).values, variances)
    kept = variances.sum() / tokens.var(dim=0).sum()
    singular = torch.linalg.svdvals(tokens - tokens.mean(dim=0)).square()
    assert kept.item() == pytest.approx((singular[:4].sum() / singular.sum()).item(), rel=1e-4)


def test_a_projection_does_not_depend_on_the_signs_that_the_solver_finds() -> None:
    tokens = low_rank(6)
    assert torch.allclose(fit_projection(tokens, 6), fit_projection(tokens.flip(0), 6), atol=1e-4)


@pytest.mark.parametrize("text", ["float16", "float32", "int8", "pca:12", "pca:3:int8", "uint16"])
def test_a_coding_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_coding(text)) == text


@pytest.mark.parametrize(
    "text, message",
    [
        ("int9", r"'int9' was asked for\.Did|'int9' was asked for\. Did you mean 'int8'"),
        ("pca", "'pca' does not say how"),
        ("pca:x", "'pca:x' does not say how"),
        ("pca:0", "0 principal components"),
        ("pca:4:uint16", "4 principal components as uint16"),
    ],
)
def test_other_codings_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_coding(text)


@pytest.mark.parametrize("change", [lambda rows: rows.clone(), lambda rows: rows.expand(3, *rows.shape).reshape(-1, 8)])
def test_decoding_does_not_care_how_rows_lie_in_memory(change: Callable[[Tensor], Tensor]) -> None:
    rows = torch.from_numpy(encode(torch.randn(4, 4), Coding(dtype="int8"), None))
    assert torch.equal(decode(change(rows), Coding(dtype="int8"), None)[:4], decode(rows, Coding(dtype="int8"), None))
