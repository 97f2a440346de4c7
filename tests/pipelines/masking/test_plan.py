import pytest
import torch

from pipelines.modalities import Image
from shards.errors import MissingTargetError, SettingsError
from tests.pipelines.masking.samples import TEXT, World

IMAGE = Image(size=4, patch=1)


def test_a_modality_without_lengths_has_all_of_its_tokens() -> None:
    context = World(lengths={"text": torch.tensor([3, 0])}).context([0, 1])
    assert context.num_real(IMAGE).tolist() == [16, 16]
    assert context.num_real(TEXT).tolist() == [3, 0]


def test_what_the_batch_does_not_hold_is_refused_with_what_it_holds() -> None:
    context = World(inputs={"imagge": torch.zeros(2, 3, 4, 4)}, stored={"attention": torch.zeros(2, 16)}).context(
        [0, 1]
    )
    with pytest.raises(SettingsError, match=r"'image' looks at it.*holds imagge\. Did you mean 'imagge'"):
        context.input_of(IMAGE)
    with pytest.raises(
        MissingTargetError, match=r"'image' reads the stored target 'atention'.*Did you mean 'attention'"
    ):
        context.stored_of("atention", modality=IMAGE)


def test_a_stored_target_needs_a_row_for_every_token() -> None:
    context = World(stored={"attention": torch.zeros(2, 49)}).context([0, 1])
    with pytest.raises(SettingsError, match=r"shape \(2, 49\).*needs 16 tokens"):
        context.stored_of("attention", modality=IMAGE)


@pytest.mark.parametrize("wrong", [torch.zeros(2, 24), torch.zeros(2, 23, dtype=torch.int64)])
def test_ids_are_whole_numbers_one_for_each_token(wrong: torch.Tensor) -> None:
    with pytest.raises(SettingsError, match="needs 24 token ids for each sample"):
        World(inputs={"text": wrong}).context([0, 1]).ids_of(TEXT)
