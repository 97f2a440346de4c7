"""Tokens by index, whatever is padding."""

import torch

from trainers.evaluate.drawing.prediction import marked, place

INDEX = torch.tensor([[2, 0, 3], [1, 0, 0]])
PADDING = torch.tensor([[False, False, False], [False, True, True]])


def test_padding_is_neither_marked_nor_placed() -> None:
    assert marked(INDEX, PADDING, length=4).tolist() == [[True, False, True, True], [False, True, False, False]]
    tokens, values = torch.zeros(2, 4, 1), torch.tensor([[[5.0], [6.0], [7.0]]] * 2)
    placed = place(tokens, INDEX, values, padding=PADDING)
    assert placed[..., 0].tolist() == [[6, 0, 5, 7], [0, 5, 0, 0]]
    assert not tokens.any()


def test_an_index_without_padding_names_all_of_its_places() -> None:
    assert marked(INDEX, None, length=4).tolist() == [[True, False, True, True], [True, True, False, False]]


def test_more_places_than_tokens_may_be_named_as_where_sentinels_are_written_out() -> None:
    index = torch.tensor([[0, 0, 1, 1, 2]])
    assert marked(index, None, length=3).tolist() == [[True, True, True]]
