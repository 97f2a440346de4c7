"""Retrieval: recalls that can be counted by hand, and maps that find what a rotation has hidden."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.evaluate.retrieval import CUTS, Pairs, linear_map, ranks_of, recalls, retrieve, split_pairs


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def accuracies(found: dict[str, dict[str, float]]) -> dict[str, float]:
    return {cut: score["accuracy"] for cut, score in found.items()}


def test_a_sample_finds_itself() -> None:
    vectors = drawn(30, 8)
    assert accuracies(recalls(vectors, vectors.clone())) == {"1": 1.0, "5": 1.0, "10": 1.0}


def test_vectors_that_are_all_the_same_find_nothing() -> None:
    same = torch.ones(30, 8)
    assert accuracies(recalls(same, same)) == {"1": 0.0, "5": 0.0, "10": 0.0}


def test_vectors_that_are_no_numbers_find_nothing() -> None:
    vectors = drawn(30, 8)
    broken = torch.full_like(vectors, torch.nan)
    assert accuracies(recalls(broken, vectors)) == {"1": 0.0, "5": 0.0, "10": 0.0}


@given(st.integers(0, 1000), st.integers(2, 40))
def test_ranks_are_those_of_sorting_each_row(seed: int, count: int) -> None:
    queries, candidates = drawn(count, 5, seed=seed), drawn(count, 5, seed=seed + 1)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], candidates[None], dim=-1)
    order = cosines.argsort(dim=1, descending=True)
    expected = [row.tolist().index(place) for place, row in enumerate(order)]
    assert ranks_of(queries, candidates).tolist() == expected


def test_ranks_do_not_depend_on_how_many_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = drawn(50, 6), drawn(50, 6, seed=1)
    whole = ranks_of(queries, candidates)
    monkeypatch.setattr("trainers.evaluate.retrieval.AT_ONCE", 7)
    assert torch.equal(ranks_of(queries, candidates), whole)


@pytest.mark.parametrize("width", [6, 300])
def test_a_map_undoes_a_linear_change(width: int) -> None:
    plain = drawn(200, width)
    changed = plain @ drawn(width, 4, seed=1) + 3
    fitted = linear_map(plain, changed, held_out=torch.arange(200) % 5 == 0)
    if width == 6:
        torch.testing.assert_close(fitted(plain), changed, atol=0.02, rtol=0.01)
    assert (fitted(plain) - changed).square().mean() < changed.var() / 10


def test_what_a_rotation_hides_is_found_by_the_map_and_by_nothing_else() -> None:
    first = drawn(600, 16)
    second = first @ torch.linalg.qr(drawn(16, 16, seed=1)).Q
    keys = tuple(f"sample-{number}" for number in range(600))
    found = retrieve(*split_pairs(Pairs(keys=keys, first={"ours": first}, second={"ours": second})))
    direct, mapped = (found["scores"]["ours"][way]["forth"] for way in ("direct", "mapped"))
    assert mapped["1"]["accuracy"] > 0.95
    assert direct["1"]["accuracy"] < 0.1
    assert set(mapped) == set(map(str, CUTS))
    assert found["chance"]["1"] == pytest.approx(1 / found["test_samples"])


def test_unrelated_vectors_are_found_as_often_as_by_chance() -> None:
    keys = tuple(f"sample-{number}" for number in range(2000))
    found = retrieve(
        *split_pairs(Pairs(keys=keys, first={"ours": drawn(2000, 8)}, second={"ours": drawn(2000, 8, seed=1)}))
    )
    for way in found["scores"]["ours"].values():
        for recall in way.values():
            assert recall["10"]["low"] < found["chance"]["10"] < recall["10"]["high"] + 0.02


def test_vectors_of_different_widths_are_only_mapped() -> None:
    keys = tuple(f"sample-{number}" for number in range(200))
    found = retrieve(*split_pairs(Pairs(keys=keys, first={"raw": drawn(200, 8)}, second={"raw": drawn(200, 5)})))
    assert set(found["scores"]["raw"]) == {"mapped"}


def test_too_few_samples_are_said_to_be_too_few() -> None:
    found = retrieve(*split_pairs(Pairs(keys=("a", "b"), first={"x": drawn(2, 3)}, second={"x": drawn(2, 3)})))
    assert "samples with both modalities to fit on" in found["skipped"]
