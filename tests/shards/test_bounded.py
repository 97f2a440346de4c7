import threading

from shards.bounded import Bounded


def test_the_entry_that_was_added_first_makes_room() -> None:
    kept: Bounded[int, str] = Bounded(3)
    for number in (1, 2, 3):
        kept[number] = str(number)
    kept[1] = "again"
    assert list(kept) == [1, 2, 3]
    kept[4] = "4"
    assert kept == {2: "2", 3: "3", 4: "4"}


def test_threads_that_add_together_never_exceed_the_bound() -> None:
    kept: Bounded[int, int] = Bounded(5)
    seen: list[int] = []

    def add(first: int) -> None:
        for number in range(first, first + 2000):
            kept[number] = number
            seen.append(len(kept))

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 8000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(seen) == 5
