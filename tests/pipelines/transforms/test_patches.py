import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transforms.patches import patchify, unpatchify


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_unpatchify_undoes_patchify(batch: int, rows: int, columns: int, patch: int, channels: int) -> None:
    images = torch.rand(batch, channels, rows * patch, columns * patch)
    patches = patchify(images, patch)
    assert patches.shape == (batch, rows * columns, patch**2 * channels)
    assert torch.equal(unpatchify(patches, patch, grid=(rows, columns)), images)


def test_values_run_by_row_column_channel_with_the_channel_fastest() -> None:
    images = torch.arange(3 * 4 * 6).reshape(1, 3, 4, 6)
    patches = patchify(images, 2)
    row, column, y, x, channel = 1, 2, 1, 0, 2
    assert patches[0, row * 3 + column, (y * 2 + x) * 3 + channel] == images[0, channel, row * 2 + y, column * 2 + x]
