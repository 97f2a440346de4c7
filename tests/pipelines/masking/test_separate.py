import pytest
import torch

from pipelines.masking.block import BlockPatches
from pipelines.masking.plan import JointMasking, Masking
from pipelines.masking.random import RandomPatches
from pipelines.masking.separate import Separate
from shards.errors import SettingsError
from tests.pipelines.masking.samples import CLIP, IMAGE, full_world

CONTEXT = full_world().context()


def test_every_modality_gets_the_plan_of_its_own_masking() -> None:
    maskings: dict[str, Masking] = {"video": RandomPatches(ratio=0.9), "image": BlockPatches(ratio=0.4)}
    plans = Separate(maskings=maskings).plan_jointly(CONTEXT, modalities=(IMAGE, CLIP))
    assert list(plans) == ["image", "video"]
    for modality in (IMAGE, CLIP):
        alone = maskings[modality.name].plan(CONTEXT, modality=modality)
        assert torch.equal(plans[modality.name].target, alone.target)


def test_a_masking_of_an_unknown_modality_is_refused() -> None:
    masking = Separate(maskings={"imgae": RandomPatches(ratio=0.5)})
    with pytest.raises(SettingsError, match=r"'imgae'.*modalities are image.*Did you mean 'image'"):
        masking.plan_jointly(CONTEXT, modalities=(IMAGE,))


def test_a_modality_without_a_masking_is_refused() -> None:
    masking = Separate(maskings={"image": RandomPatches(ratio=0.5)})
    with pytest.raises(SettingsError, match="no masking for the modality 'video', only for image"):
        masking.plan_jointly(CONTEXT, modalities=(IMAGE, CLIP))


def test_it_is_a_joint_masking() -> None:
    assert isinstance(Separate(maskings={}), JointMasking)
