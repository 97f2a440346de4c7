import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.randomness import Draws, generator_for, hash_key

KEYS = [f"sample-{number:04d}" for number in range(64)]


def uniforms(keys: list[str], count: int, *, seed: int, epoch: int, purpose: str) -> np.ndarray:
    return Draws.of(keys, epochs=[epoch] * len(keys), seed=seed).uniforms(count, purpose=purpose)


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
    found = uniforms(["a", "b"], 2, seed=1, epoch=2, purpose="p")
    np.testing.assert_array_equal(
        found, [[0.6382808460863382, 0.8285577816698235], [0.7870146735324914, 0.11814550559441694]]
    )


@given(st.permutations(KEYS), st.integers(0, 63))
def test_a_row_depends_on_its_own_key_alone(shuffled: list[str], count: int) -> None:
    alone = {key: uniforms([key], 8, seed=3, epoch=1, purpose="mask/image") for key in shuffled[:3]}
    together = uniforms(shuffled[: count + 3], 8, seed=3, epoch=1, purpose="mask/image")
    for row, key in enumerate(shuffled[:3]):
        np.testing.assert_array_equal(together[row], alone[key][0])


@pytest.mark.parametrize(
    "changed", [{"seed": 43}, {"epoch": 1}, {"key": "another"}, {"purpose": "mask"}, {"seed": 41, "epoch": 1}]
)
def test_every_part_changes_uniforms_and_hashes(changed: dict[str, object]) -> None:
    def drawn(*, key: str, epoch: int, seed: int, purpose: str) -> tuple[set[float], int]:
        draws = Draws.of([key], epochs=[epoch], seed=seed)
        return set(draws.uniforms(4, purpose=purpose)[0].tolist()), int(draws.hashes(purpose)[0])

    base: dict[str, object] = {"seed": 42, "epoch": 0, "key": "sample", "purpose": "view"}
    ours, theirs = drawn(**base), drawn(**{**base, **changed})  # type: ignore[arg-type]
    assert not ours[0] & theirs[0]
    assert ours[1] != theirs[1]


def test_samples_of_one_batch_may_be_in_different_epochs() -> None:
    mixed = Draws.of(["a", "b"], epochs=[3, 4], seed=1).uniforms(5, purpose="p")
    np.testing.assert_array_equal(mixed[0], uniforms(["a"], 5, seed=1, epoch=3, purpose="p")[0])
    np.testing.assert_array_equal(mixed[1], uniforms(["b"], 5, seed=1, epoch=4, purpose="p")[0])


def test_fewer_uniforms_are_the_first_of_more() -> None:
    draws = Draws.of(KEYS, epochs=[0] * 64, seed=1)
    np.testing.assert_array_equal(draws.uniforms(3, purpose="p"), draws.uniforms(9, purpose="p")[:, :3])


def test_the_hashes_of_a_purpose_differ_from_sample_to_sample() -> None:
    draws = Draws.of(KEYS, epochs=[0] * 64, seed=1)
    assert len(draws) == len(set(draws.hashes("p").tolist())) == 64


def test_uniforms_are_uniform_and_rows_do_not_follow_each_other() -> None:
    found = uniforms([str(number) for number in range(400)], 250, seed=0, epoch=0, purpose="p")
    counts = np.histogram(found, bins=100, range=(0, 1))[0]
    chi_squared = ((counts - 1000) ** 2 / 1000).sum() / 99
    assert 0.6 < chi_squared < 1.5
    assert abs(np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.02


def test_no_global_generator_is_used_or_moved() -> None:
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    generator_for(seed=1, epoch=2, key="k", purpose="p").random(3)
    uniforms(KEYS, 5, seed=1, epoch=2, purpose="p")
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    assert before == after
