import torch
from torch import Tensor

from trainers.nn.token_row import Part, token_row


def part_of(*rows: list[float], length: int) -> Part:
    """Tokens of one value each, filled up with 9; their places are ten times as large."""
    tokens = torch.tensor([[*row, *[9.0] * (length - len(row))] for row in rows])[..., None]
    padding = torch.tensor([[False] * len(row) + [True] * (length - len(row)) for row in rows])
    return Part(tokens=tokens, places=tokens * 10, padding=padding)


def values(row: Tensor) -> list[list[float]]:
    return row[..., 0].tolist()


PARTS = (part_of([1.0, 2.0], [], length=2), part_of([3.0], [5.0, 6.0], length=3), part_of([4.0], [7.0], length=1))


def test_real_tokens_stand_side_by_side_and_the_row_ends_with_the_longest_sample() -> None:
    row = token_row(PARTS)
    assert values(row.tokens) == [[1, 2, 3, 4], [5, 6, 7, 0]]
    assert values(row.places) == [[10, 20, 30, 40], [50, 60, 70, 0]]
    assert row.padding.tolist() == [[False] * 4, [False, False, False, True]]
    assert row.owners[~row.padding].tolist() == [0, 0, 1, 2, 1, 1, 2]


def test_every_token_is_found_again_in_its_part() -> None:
    row = token_row(PARTS)
    for found, part in zip(row.parts_of(row.tokens), PARTS, strict=True):
        assert found.shape == part.tokens.shape
        assert torch.equal(found[~part.is_none], part.tokens[~part.is_none])


def test_parts_without_padding_stay_whole() -> None:
    tokens = torch.arange(6.0).reshape(2, 3, 1)
    row = token_row(
        [
            Part(tokens=tokens, places=tokens, padding=None),
            Part(tokens=tokens[:, :0], places=tokens[:, :0], padding=None),
        ]
    )
    assert torch.equal(row.tokens, tokens)
    assert [len(part[0]) for part in row.parts_of(row.tokens)] == [3, 0]
    assert not row.padding.any()


def test_samples_that_have_nothing_leave_one_empty_token() -> None:
    row = token_row([part_of([], [], length=2)])
    assert values(row.tokens) == [[0], [0]]
    assert row.padding.all()
