import numpy as np
import pytest

from pipelines.masking.ranking import counts_of, divided_plan, ranked_plan, top_then_random
from shards.errors import SettingsError
from tests.pipelines.masking.samples import Told, told

SCORES = np.array([[0.5, 0.1, 0.9, 0.1], [0.0, 0.3, 0.2, 0.9]])


def test_the_highest_scores_of_the_real_tokens_are_hidden_in_order_and_ties_by_token() -> None:
    plan = ranked_plan(SCORES, num_real=np.array([4, 3]), num_hidden=np.array([2, 1]))
    assert told(plan) == [Told((1, 3), (0, 2)), Told((0, 2), (1,))]


def test_a_mask_hides_real_tokens_only() -> None:
    plan = divided_plan(SCORES > 0.25, num_real=np.array([4, 3]))
    assert told(plan) == [Told((1, 3), (0, 2)), Told((0, 2), (1,))]


def test_a_rule_counts_real_tokens_and_is_asked_about_the_most_of_them_first() -> None:
    assert counts_of(np.array([4, 0, 1, 2, 4]), lambda tokens: tokens // 2, most=4).tolist() == [2, 0, 0, 1, 2]

    def refuse(tokens: int) -> int:
        raise SettingsError(f"{tokens} tokens were refused")

    with pytest.raises(SettingsError, match="9 tokens"):
        counts_of(np.array([1, 0]), refuse, most=9)


def test_the_top_comes_first_then_noise_and_padding_is_never_top() -> None:
    noise = np.array([[0.4, 0.6, 0.2, 0.8], [0.4, 0.6, 0.2, 0.8]])
    found = top_then_random(SCORES, noise, num_real=np.array([4, 3]), num_top=np.array([1, 1]))
    np.testing.assert_array_equal(found, [[0.4, 0.6, 1.2, 0.8], [0.4, 1.6, 0.2, 0.8]])


def test_noise_decides_between_equal_scores() -> None:
    noise = np.array([[0.4, 0.2, 0.6]])
    found = top_then_random(np.zeros((1, 3)), noise, num_real=np.array([3]), num_top=np.array([1]))
    assert (found > 1).tolist() == [[False, True, False]]
