from ingest.sources.halves import chosen_half, half_of, halves_of

ROWS = {"X_train": 9, "y_train": 9, "x_test": 4, "y_test": 4, "x_val": 3, "y_val": 2, "classes": 9}


def test_a_half_has_an_x_and_a_y_of_equal_length() -> None:
    assert halves_of(ROWS) == {"_train": 9, "_test": 4}
    assert halves_of({"x": 3, "y": 3}) == {}


def test_an_array_belongs_to_the_half_it_is_called_after() -> None:
    assert [half_of(name, halves_of(ROWS)) for name in ("X_train", "id_test", "classes")] == ["_train", "_test", ""]


def test_the_longest_half_is_chosen_unless_another_is_named() -> None:
    assert chosen_half(halves_of(ROWS), ["classes"]) == "_train"
    assert chosen_half(halves_of(ROWS), ["x_test"]) == "_test"
    assert chosen_half({}, ["x_test"]) == ""
