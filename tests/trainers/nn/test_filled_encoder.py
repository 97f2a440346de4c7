import pytest
import torch

from pipelines.modalities import Clip, LogMel, Modality, Points
from shards.errors import SettingsError
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.nn.network import Output

CLIP = Clip(size=16, patch=8, frames=4)
SOUND = LogMel(frames=32, bins=16, patch=8)
ARCHITECTURE = MaskTokenEncoder(width=12, depth=1, heads=2)
OUTPUTS = {"wanted": Output(dim=3)}


@pytest.mark.parametrize(
    ("modality", "inputs"),
    [(CLIP, torch.zeros(2, 3, 4, 16, 16, dtype=torch.uint8)), (SOUND, torch.zeros(2, 32, 16))],
    ids=["clip", "sound"],
)
def test_clips_and_sounds_have_a_learned_position_for_each_token(modality: Modality, inputs: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURE.build((modality,), outputs=OUTPUTS)
    assert network.encoder.places.positions.shape == (1, 1 + modality.num_tokens, 12)
    encoded = network.encode({modality.name: inputs})
    assert encoded.shape == (2, 1 + modality.num_tokens, 12)
    assert len(encoded[0, 1:].unique(dim=0)) == modality.num_tokens  # of inputs that are the same everywhere


def test_only_pictures_have_relative_positions() -> None:
    with pytest.raises(SettingsError, match=r"'video' is a Clip; give --set model.positions=learned"):
        MaskTokenEncoder(width=12, depth=1, heads=2, positions="relative").build((CLIP,), outputs=OUTPUTS)


def test_modalities_without_patches_are_refused() -> None:
    with pytest.raises(SettingsError, match="'points' is a Points"):
        ARCHITECTURE.build((Points(),), outputs=OUTPUTS)
