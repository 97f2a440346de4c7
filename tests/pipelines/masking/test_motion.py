import numpy as np
import pytest
import torch

from pipelines.masking.motion import MotionPatches, motion_of
from pipelines.modalities import Clip
from shards.errors import SettingsError
from tests.pipelines.masking.samples import IMAGE, World, hidden_in

CLIP = Clip(size=16, patch=4, frames=8, tubelet=2)


def flicker(samples: int) -> torch.Tensor:
    """Clips of noise in the upper left patch and of nothing elsewhere."""
    frames = np.zeros((samples, 3, 8, 16, 16), dtype=np.uint8)
    frames[..., :4, :4] = np.random.default_rng(0).integers(0, 256, (samples, 3, 8, 4, 4))
    return torch.from_numpy(frames)


def test_motion_is_the_mean_difference_of_frames_within_and_around_a_token() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 16, 16), dtype=np.uint8)
    found = motion_of(frames, CLIP).reshape(2, 4, 4, 4)
    differences = np.abs(np.diff(frames.astype(np.float64), axis=2))
    for time, around in ((0, slice(0, 2)), (1, slice(1, 4)), (3, slice(5, 7))):
        expected = differences[:, :, around, 4:8, 8:12].mean(axis=(1, 2, 3, 4))
        np.testing.assert_allclose(found[:, time, 1, 2], expected, rtol=1e-12)


def test_what_moves_is_hidden_and_the_rest_of_the_share_is_random() -> None:
    world = World(inputs={"video": flicker(2000)})
    masks = hidden_in(MotionPatches(ratio=0.5, moving=0.125).plan(world.context(range(2000)), modality=CLIP), CLIP)
    assert (masks.sum(axis=(1, 2, 3)) == 32).all()
    assert masks[:, :, 0, 0].all()
    others = np.delete(masks.mean(axis=0).reshape(4, -1), 0, axis=1)
    assert abs(others - 28 / 60).max() < 0.06


def test_a_static_clip_is_masked_at_random() -> None:
    world = World(inputs={"video": torch.full((2000, 3, 8, 16, 16), 77, dtype=torch.uint8)})
    masks = hidden_in(MotionPatches(ratio=0.5, moving=1.0).plan(world.context(range(2000)), modality=CLIP), CLIP)
    assert abs(masks.sum(axis=0) - 1000).max() < 110


def test_a_clip_of_one_frame_has_no_motion() -> None:
    still = Clip(size=16, patch=4, frames=1, tubelet=1)
    assert not motion_of(np.full((2, 3, 1, 16, 16), 9, dtype=np.uint8), still).any()


def test_what_is_no_clip_or_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="'image' is no clip"):
        MotionPatches(ratio=0.5).plan(World().context(), modality=IMAGE)
    with pytest.raises(SettingsError, match="'video' looks at it, but the batch holds nothing"):
        MotionPatches(ratio=0.5).plan(World().context(), modality=CLIP)
    floats = World(inputs={"video": torch.zeros(40, 3, 8, 16, 16)})
    with pytest.raises(SettingsError, match="holds float32"):
        MotionPatches(ratio=0.5).plan(floats.context(), modality=CLIP)
    with pytest.raises(SettingsError, match="chosen by motion"):
        MotionPatches(ratio=0.5, moving=1.5)
