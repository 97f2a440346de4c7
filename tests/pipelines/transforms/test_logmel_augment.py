import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.randomness import Draws
from pipelines.transforms.logmel_augment import add_noise, mask_bands, roll_time


def draws(batch: int, *, seed: int = 3) -> Draws:
    return Draws.of(list(map(str, range(batch))), epochs=[0] * batch, seed=seed)


def numbered(batch: int, frames: int, bins: int = 4) -> torch.Tensor:
    """Features whose values are the number of their frame, from 1."""
    return torch.arange(1.0, frames + 1)[None, :, None].expand(batch, frames, bins).clone()


def test_noise_has_a_level_of_its_own_for_every_sample() -> None:
    added = add_noise(torch.zeros(2000, 8, 4), draws(2000), most=0.1)
    levels = added.amax(dim=(1, 2))
    assert added.min() >= 0
    assert levels.max() < 0.1
    assert 0.03 < levels.mean() < 0.05  # of 32 numbers the largest is on average 32/33 of the level
    assert torch.equal(add_noise(torch.zeros(3, 8, 4), draws(3)), added[:3])


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 99))
def test_rolling_turns_the_sound_round_and_never_moves_the_padding(lengths: list[int], seed: int) -> None:
    features = numbered(len(lengths), 30)
    rolled = roll_time(features, torch.tensor(lengths), draws(len(lengths), seed=seed))
    for row, length in enumerate(lengths):
        assert torch.equal(rolled[row, length:], features[row, length:])
        first = int(rolled[row, 0, 0]) - 1 if length else 0
        assert torch.equal(rolled[row, :length], features[row, :length].roll(-first, 0))


def test_all_shifts_are_equally_likely() -> None:
    rolled = roll_time(numbered(3000, 12), torch.full((3000,), 10), draws(3000))
    counts = torch.bincount(rolled[:, 0, 0].long(), minlength=11)[1:]
    assert counts.sum() == 3000
    assert 230 < counts.min() <= counts.max() < 370


def test_masked_bands_are_one_span_of_time_and_one_of_bins() -> None:
    features = torch.ones(3000, 20, 16)
    masked = mask_bands(features, draws(3000), frames=8, bins=5) == 0
    in_time, in_bins = masked.all(dim=2), masked.all(dim=1)
    assert torch.equal(masked, in_time[:, :, None] | in_bins[:, None, :])
    for inside, most in ((in_time, 8), (in_bins, 5)):
        widths = inside.sum(dim=1)
        assert widths.unique().tolist() == list(range(most + 1))
        assert (torch.bincount(widths) / 3000 - 1 / (most + 1)).abs().max() < 0.04
        edges = torch.nn.functional.pad(inside.int(), (1, 1)).diff(dim=1)
        assert ((edges == 1).sum(dim=1) <= 1).all()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_nothing_is_masked_where_nothing_is_asked_for() -> None:
    assert (mask_bands(torch.ones(50, 20, 16), draws(50), frames=0, bins=0) == 1).all()
