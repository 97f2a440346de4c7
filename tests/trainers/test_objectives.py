import pytest
import torch
from torch import Tensor

from shards.errors import SettingsError
from trainers.objectives import (
    SmoothL1,
    absolute_error,
    cosine_distance,
    cross_entropy,
    cross_entropy_after_first,
    over_samples,
    over_tokens,
    squared_error,
)


def test_error_is_the_mean_over_all_values() -> None:
    predicted, wanted = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [3.0, 1.0]]])
    assert over_tokens(squared_error(predicted, wanted)).item() == (0 + 4 + 0 + 9) / 4


def test_error_of_bfloat16_predictions_is_summed_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(2, 64, 108, generator=generator).bfloat16()
    wanted = torch.rand(2, 64, 108, generator=generator)
    assert over_tokens(squared_error(predicted, wanted)).dtype is torch.float32
    exact = (predicted.double() - wanted.double()).square().mean()
    torch.testing.assert_close(over_tokens(squared_error(predicted, wanted)).double(), exact, rtol=1e-6, atol=0)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_absolute_error_is_the_mean_over_all_values() -> None:
    predicted, wanted = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [3.0, 1.0]]])
    assert over_tokens(absolute_error(predicted, wanted)).item() == (0 + 2 + 0 + 3) / 4


@pytest.mark.parametrize(("difference", "expected"), [(0.5, 0.5**2 / 4), (2.0, 1.0), (3.0, 2.0), (-3.0, 2.0)])
def test_smooth_l1_is_half_a_square_below_beta_and_a_line_above(difference: float, expected: float) -> None:
    loss = SmoothL1(beta=2.0)
    found = over_tokens(loss(torch.full((1, 1, 3), difference), torch.zeros(1, 1, 3)))
    assert found.item() == pytest.approx(expected)


def test_a_beta_that_cannot_be_is_refused() -> None:
    with pytest.raises(SettingsError, match="give a beta above 0"):
        SmoothL1(beta=0.0)


def test_cross_entropy_is_minus_the_sum_of_one_hot_times_log_probabilities() -> None:
    predicted, wanted = numbers(2, 3, 5), torch.tensor([[[0], [4], [2]], [[1], [1], [3]]])
    one_hot = torch.nn.functional.one_hot(wanted[..., 0], 5)
    expected = -(one_hot * predicted.log_softmax(dim=-1)).sum(dim=-1).mean()
    torch.testing.assert_close(over_tokens(cross_entropy(predicted, wanted)), expected)


def test_cross_entropy_of_bfloat16_logits_is_computed_in_float32() -> None:
    predicted, wanted = numbers(2, 3, 8192).bfloat16(), torch.full((2, 3, 1), 17)
    torch.testing.assert_close(
        over_tokens(cross_entropy(predicted, wanted)), over_tokens(cross_entropy(predicted.float(), wanted))
    )
    assert over_tokens(cross_entropy(predicted, wanted)).dtype is torch.float32


def test_the_first_word_of_a_text_counts_nothing() -> None:
    torch.manual_seed(0)
    scores, ids = torch.randn(3, 4, 7), torch.randint(7, (3, 4, 1))
    padding = torch.tensor([[False] * 4, [False, True, True, True], [False, False, False, True]])
    found = cross_entropy_after_first(scores, ids)
    one_less = cross_entropy(scores[:, 1:], ids[:, 1:])
    for mean in (over_tokens, over_samples):
        torch.testing.assert_close(mean(found, padding), mean(one_less, padding[:, 1:]))


def test_cosine_distance_does_not_depend_on_lengths_and_is_zero_of_itself() -> None:
    predicted, wanted = numbers(2, 3, 5), numbers(2, 3, 5, seed=1)
    torch.testing.assert_close(
        over_tokens(cosine_distance(predicted * 3, wanted * 0.2)), over_tokens(cosine_distance(predicted, wanted))
    )
    torch.testing.assert_close(over_tokens(cosine_distance(wanted, wanted)), torch.tensor(0.0))
    torch.testing.assert_close(over_tokens(cosine_distance(-wanted, wanted)), torch.tensor(2.0))
