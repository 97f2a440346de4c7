import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.randomness import generator_for, hash_key, keyed_uniforms

KEYS = [f"sample-{number:04d}" for number in range(64)]


def test_a_generator_is_philox_under_the_hash_of_its_purpose() -> None:
    found = generator_for(seed=1, epoch=2, key="k", purpose="p").random(2)
    np.testing.assert_array_equal(found, [0.44976488730579367, 0.07364972192810981])


@pytest.mark.parametrize(
    "changed", [{"seed": 43}, {"epoch": 1}, {"key": "another"}, {"purpose": "mask"}, {"seed": 41, "epoch": 1}]
)
def test_every_part_of_the_purpose_changes_the_draws(changed: dict[str, object]) -> None:
    base: dict[str, object] = {"seed": 42, "epoch": 0, "key": "sample", "purpose": "view"}
    ours = generator_for(**base).random(4)  # type: ignore[arg-type]
    theirs = generator_for(**{**base, **changed}).random(4)  # type: ignore[arg-type]
    assert not np.intersect1d(ours, theirs).size


def test_parts_of_a_hash_cannot_run_into_each_other() -> None:
    assert len({hash_key(1, 12, "a"), hash_key(11, 2, "a"), hash_key("1", "12a"), hash_key("112", "a")}) == 4


def test_uniform_rows_are_golden() -> None:
    found = keyed_uniforms(["a", "b"], 2, seed=1, epoch=2, purpose="p")
    np.testing.assert_array_equal(
        found, [[0.430595016664873, 0.5223498696820636], [0.8850549361679688, 0.30732645548814463]]
    )


@given(st.permutations(KEYS), st.integers(0, 63))
def test_a_row_depends_on_its_own_key_alone(shuffled: list[str], count: int) -> None:
    alone = {key: keyed_uniforms([key], 8, seed=3, epoch=1, purpose="mask/image") for key in shuffled[:3]}
    together = keyed_uniforms(shuffled[: count + 3], 8, seed=3, epoch=1, purpose="mask/image")
    for row, key in enumerate(shuffled[:3]):
        np.testing.assert_array_equal(together[row], alone[key][0])


def test_uniforms_are_uniform_and_rows_do_not_follow_each_other() -> None:
    found = keyed_uniforms([str(number) for number in range(400)], 250, seed=0, epoch=0, purpose="p")
    counts = np.histogram(found, bins=100, range=(0, 1))[0]
    chi_squared = ((counts - 1000) ** 2 / 1000).sum() / 99
    assert 0.6 < chi_squared < 1.5
    assert abs(np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.02


def test_no_global_generator_is_used_or_moved() -> None:
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    generator_for(seed=1, epoch=2, key="k", purpose="p").random(3)
    keyed_uniforms(KEYS, 5, seed=1, epoch=2, purpose="p")
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert before == after
