import pytest
import torch

from pipelines.masking.block import BlockPatches
from pipelines.masking.plan import JointMasking, Masking
from pipelines.masking.random import RandomPatches
from pipelines.masking.separate import Separate, plans_of
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


def test_plans_come_from_maskings_by_name_or_from_one_for_all_together() -> None:
    maskings: dict[str, Masking] = {"video": RandomPatches(ratio=0.9), "image": BlockPatches(ratio=0.4)}
    by_name = plans_of(maskings, CONTEXT, (IMAGE, CLIP))
    jointly = plans_of(Separate(maskings=maskings), CONTEXT, (IMAGE, CLIP))
    assert by_name.keys() == jointly.keys() == {"image", "video"}
    assert all(torch.equal(by_name[name].target, jointly[name].target) for name in by_name)


def test_a_modality_without_a_masking_gets_no_plan() -> None:
    assert list(plans_of({"image": BlockPatches(ratio=0.4)}, CONTEXT, (IMAGE, CLIP))) == ["image"]
    with pytest.raises(SettingsError, match="no masking for the modality 'video'"):
        plans_of(Separate(maskings={"image": BlockPatches(ratio=0.4)}), CONTEXT, (IMAGE, CLIP))


def test_it_is_a_joint_masking() -> None:
    assert isinstance(Separate(maskings={}), JointMasking)
