import torch

from trainers.nn.placing import LearnedPositions, RelativePositions, displacements


def test_pairs_of_places_share_a_number_if_and_only_if_they_are_as_far_apart() -> None:
    rows, columns = 2, 3
    places = [(row, column) for row in range(rows) for column in range(columns)]
    index = displacements((rows, columns))[1:, 1:]
    numbers: dict[tuple[int, int], int] = {}
    for first, (row, column) in enumerate(places):
        for second, (other_row, other_column) in enumerate(places):
            apart = (row - other_row, column - other_column)
            assert numbers.setdefault(apart, int(index[first, second])) == index[first, second]
    assert len(set(numbers.values())) == len(numbers) == 3 * 5


def test_the_class_token_has_numbers_of_its_own_from_it_to_it_and_to_itself() -> None:
    """The layout of the official code (microsoft/unilm, beit, `RelativePositionBias`), whose tables can be loaded."""
    index = displacements((2, 3))
    assert index.shape == (7, 7)
    assert set(index[0, 1:].tolist()) == {15}
    assert set(index[1:, 0].tolist()) == {16}
    assert index[0, 0] == 17
    assert index[1, 1] == (0 + 1) * 5 + (0 + 2)
    assert index[1, 6] == (-1 + 1) * 5 + (-2 + 2)


def test_relative_positions_move_no_token_and_bias_each_head_by_displacement() -> None:
    positions = RelativePositions((2, 2), heads=3)
    tokens = torch.randn(1, 5, 6)
    assert torch.equal(positions.placed(tokens), tokens)
    assert positions.bias().shape == (1, 3, 5, 5)
    assert not positions.bias().any()
    with torch.no_grad():
        positions.positions[displacements((2, 2))[1, 2]] = torch.tensor([1.0, 2.0, 3.0])
    (bias,) = positions.bias()
    right_neighbours = [(1, 2), (3, 4)]
    for head in range(3):
        assert {tuple(place.tolist()) for place in bias[head].nonzero()} == set(right_neighbours)
        assert bias[head, 1, 2] == head + 1


def test_learned_positions_are_added_and_bias_nothing() -> None:
    positions = LearnedPositions(4, width=6)
    tokens = torch.randn(2, 5, 6)
    assert torch.equal(positions.placed(tokens) - tokens, (tokens + positions.positions) - tokens)
    assert positions.bias() is None
