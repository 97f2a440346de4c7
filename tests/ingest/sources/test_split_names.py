import pytest

from ingest.sources.split_names import hinted_splits, split_of
from shards.schema import RejectReason


@pytest.mark.parametrize(
    "names, found",
    [
        (["train-0.parquet", "train-1.parquet", "test-0.parquet"], ("test", "train")),
        (["data/validation/0.parquet", "data/train/0.parquet"], ("train", "validation")),
        (["train_test_0.csv", "train_test_1.csv"], ()),
        (["train-0.parquet", "more.parquet"], ()),
        (["trains.csv", "tests.csv"], ()),
        ([], ()),
    ],
)
def test_files_hint_at_splits_where_they_differ_in_their_words(names: list[str], found: tuple[str, ...]) -> None:
    assert hinted_splits(names) == found


@pytest.mark.parametrize("value", ["", None, 3, "a b", "a/b", "..", "x" * 65, "\udce9", ["train"], float("nan")])
def test_what_cannot_name_a_split_is_refused(value: object) -> None:
    problem = split_of(value)
    assert not isinstance(problem, str) and problem[0] is RejectReason.INVALID_LABEL
    problem[1].encode()


def test_a_split_is_named_as_it_is_written() -> None:
    assert split_of(" val_2 ") == "val_2"
