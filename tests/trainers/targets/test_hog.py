import pytest
import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Clip, Image
from pipelines.transforms.image import normalise
from shards.errors import SettingsError
from tests.batches import make_batch
from trainers.targets.hog import HogTarget


def batch_of(images: Tensor, stored: dict[str, Tensor] | None = None) -> Batch:
    keys = tuple(f"sample-{row}" for row in range(len(images)))
    return make_batch(keys, {"image": images}, stored=stored)


def pixels(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("size", "patch"), [(32, 16), (28, 14), (32, 8), (32, 4)])
def test_a_cell_is_half_a_patch_whatever_the_patch(size: int, patch: int) -> None:
    image = Image(size=size, patch=patch)
    target = HogTarget(source="computed")
    histograms = target.build(image)(batch_of(pixels(size)))
    assert histograms.shape == (2, image.num_tokens, target.dim(image)) == (2, (size // patch) ** 2, 108)
    norms = histograms.reshape(2, -1, 3, 9, 4).norm(dim=3)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_pixels_and_normalised_pictures_give_the_same_histograms() -> None:
    computed = HogTarget(source="computed").build(Image(size=32, patch=16))
    from_pixels, from_floats = computed(batch_of(pixels(32))), computed(batch_of(normalise(pixels(32))))
    assert torch.equal(from_pixels, from_floats)


def test_an_odd_patch_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"patch of 7 pixels .* even modalities.image.patch"):
        HogTarget(source="computed").build(Image(size=28, patch=7))


def test_a_stored_target_is_read_and_not_computed() -> None:
    stored = torch.arange(2 * 4 * 108, dtype=torch.float32).reshape(2, 4, 108)
    target = HogTarget(source="stored")
    read = target.build(Image(size=32, patch=16))(batch_of(pixels(32), {"hog": stored}))
    assert target.stored == "hog"
    assert torch.equal(read, stored.float())


def test_a_computed_target_reads_nothing_from_the_dataset() -> None:
    assert HogTarget(source="computed").stored is None


def test_histograms_of_a_clip_are_those_of_the_first_frames_of_its_tubelets_as_pictures() -> None:
    clip = Clip(size=32, patch=16, frames=6, tubelet=2)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 6, 32, 32), dtype=torch.uint8, generator=generator)
    target = HogTarget(source="computed", modality="video")
    found = target.build(clip)(make_batch(("a", "b"), {"video": frames}))
    assert found.shape == (2, clip.num_tokens, target.dim(clip)) == (2, 3 * 4, 108)
    of_pictures = HogTarget(source="computed").build(Image(size=32, patch=16))
    for time in range(3):
        pictures = frames[:, :, 2 * time].contiguous()
        assert torch.equal(found[:, 4 * time : 4 * time + 4], of_pictures(batch_of(pictures)))
