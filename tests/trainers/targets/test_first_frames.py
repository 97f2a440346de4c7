import torch

from pipelines.modalities import Clip, Image
from tests.batches import make_batch
from trainers.targets.first_frames import NormalisedFirstFrames
from trainers.targets.patches import NormalisedPatches

CLIP = Clip(size=16, patch=8, frames=6, tubelet=3)


def test_the_target_is_that_of_the_first_frame_of_each_tubelet_as_a_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 6, 16, 16), dtype=torch.uint8, generator=generator)
    target = NormalisedFirstFrames()
    found = target.build(CLIP)(make_batch(("a", "b"), {"video": frames}))
    assert found.shape == (2, CLIP.num_tokens, target.dim(CLIP)) == (2, 2 * 4, 8 * 8 * 3)
    of_pictures = NormalisedPatches().build(Image(size=16, patch=8))
    for time in range(2):
        pictures = make_batch(("a", "b"), {"image": frames[:, :, 3 * time].contiguous()})
        assert torch.equal(found[:, 4 * time : 4 * time + 4], of_pictures(pictures))
