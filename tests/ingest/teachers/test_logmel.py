"""Log-mel features of sound, patch by patch, as targets."""

import pytest
import torch

from ingest.teachers import new_teacher
from pipelines.modalities import LogMel
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU


def test_patches_run_by_time_then_band_as_the_tokens_of_the_modality() -> None:
    asked = new_teacher("logmel", size=224, settings=["frames=64", "bins=32", "patch=16"])
    features = torch.randn(2, 64, 32)
    found = asked.load(CPU)(features)
    assert asked.modality == LogMel(frames=64, bins=32, patch=16)
    assert found.shape[1:] == asked.shape == (8, 256)
    assert torch.equal(found[:, 3].reshape(2, 16, 16), features[:, 16:32, 16:32])


def test_values_are_normalised_as_asked() -> None:
    settings = ["frames=16", "bins=16", "mean=-4.5", "deviation=9"]
    asked = new_teacher("logmel", size=0, settings=settings)
    assert asked.load(CPU)(torch.full((1, 16, 16), 4.5)).unique().item() == pytest.approx(1.0)
    assert asked.preprocessing == "natural logarithms, less -4.5, divided by 9"


@pytest.mark.parametrize(("setting", "complaint"), [("deviation=0", "above 0"), ("frames=100", "multiple of the side")])
def test_settings_that_do_not_fit_are_refused(setting: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _ = new_teacher("logmel", size=0, settings=[setting]).shape
