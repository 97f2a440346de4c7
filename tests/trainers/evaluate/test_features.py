"""Vectors of samples, and how samples are split."""

from collections.abc import Iterator

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.batch import Batch
from tests.batches import make_batch
from trainers.evaluate.features import extract, one_in_five
from trainers.evaluate.raw import cell_shares, mean_parts, shrunk_pixels, word_counts


def batches(labels: list[list[int]]) -> Iterator[Batch]:
    for step, row in enumerate(labels):
        keys = [f"{step}-{place}" for place in range(len(row))]
        yield make_batch(keys, {"image": torch.tensor(row)[:, None] * 10}, labels=torch.tensor(row), step=step)


def own(batch: Batch) -> dict[str, torch.Tensor]:
    return {"own": batch.inputs["image"]}


def test_samples_without_a_label_are_left_out() -> None:
    found = extract(batches([[0, -1, 2], [-1, -1, -1], [1]]), own)
    assert found.keys == ("0-0", "0-2", "2-0")
    assert found.labels.tolist() == [0, 2, 1]
    assert found.vectors["own"].tolist() == [[0.0], [20.0], [10.0]]


def test_limit_counts_samples_and_reads_no_further() -> None:
    source = batches([[0, 1, 2], [1, -1, 0], [2, 2, 2]])
    found = extract(source, own, limit=5)
    assert found.keys == ("0-0", "0-1", "0-2", "1-0")
    assert next(source).step == 2


def test_small_pictures_are_compared_as_they_are() -> None:
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(shrunk_pixels(images), images.flatten(1) / 255)
    assert shrunk_pixels(torch.zeros(2, 3, 224, 224, dtype=torch.uint8)).shape == (2, 3 * 32 * 32)


@given(keys=st.lists(st.text(alphabet="abc/-0123456789", min_size=1), min_size=1, unique=True))
def test_a_sample_stays_on_its_side_whatever_the_others_are(keys: list[str]) -> None:
    together = one_in_five(keys, purpose="test").tolist()
    assert together == [one_in_five([key], purpose="test").item() for key in keys]


def test_about_one_key_in_five_is_picked_and_purposes_differ() -> None:
    keys = [f"sample{number}" for number in range(5000)]
    test, held_out = one_in_five(keys, purpose="test"), one_in_five(keys, purpose="held out")
    assert 900 < test.sum() < 1100
    assert 150 < (test & held_out).sum() < 250


def test_clouds_are_compared_by_the_cells_their_points_are_in_whatever_their_order_and_place() -> None:
    clouds = torch.randn(3, 50, 3, generator=torch.Generator().manual_seed(0))
    shares = cell_shares(clouds)
    assert shares.shape == (3, 512)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(cell_shares(clouds.flip(1)), shares)
    torch.testing.assert_close(cell_shares(4 * clouds), shares)


def test_sound_is_compared_by_the_means_of_its_parts() -> None:
    features = torch.arange(2 * 64 * 16.0).reshape(2, 64, 16)
    assert torch.equal(mean_parts(features), features.unflatten(1, (32, 2)).mean(dim=2).flatten(1))


def test_words_are_counted_without_padding_and_far_ids_share_a_count() -> None:
    counts = word_counts(torch.tensor([[5, 7, 5, 0], [5 + 1024, 0, 0, 0]]), padding_id=0)
    assert counts.shape == (2, 1024)
    assert counts[0].nonzero().flatten().tolist() == [5, 7]
    assert counts[0, 5].item() == 2
    assert counts[1, 5].item() == 1
    assert counts[:, 0].tolist() == [0, 0]
