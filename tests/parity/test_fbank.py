"""Parity of log-mel features with AudioMAE (facebookresearch/AudioMAE at bd60e29) and CAV-MAE (YuanGongND/cav-mae at 68fe8c2).

`tests/golden/fn_fbank.json` says how the tensors were made. Both codes take the same features and normalise them by the
figures of AudioSet. The published padding with 0, ahead of the normalisation, is louder than most sound; `corrected/` pads
with the floor of the logarithm.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.transforms.logmel import fit_length, log_mel, normalise
from pipelines.transforms.logmel_spec import LOG_FLOOR, LogMelSpec

TENSORS = load_file(Path(__file__).parents[1] / "golden" / "fn_fbank.safetensors")
LENGTH = 512
AUDIO_MAE = {"mean": -4.2677393, "deviation": 2 * 4.5689974}
CAV_MAE = {"mean": -5.081, "deviation": 4.4849}
TOLERANCE = 1e-3
"""The difference between float32 and float64 in the weakest cells, which other versions of the Fourier transform show too."""
USUAL, SHARE = 5e-4, 0.999
"""Nearly all cells agree better."""


@pytest.fixture(scope="module")
def features() -> Tensor:
    return log_mel(TENSORS["inputs/waveform"][0], LogMelSpec())


def test_features_are_those_of_the_reference(features: Tensor) -> None:
    assert features.shape == (304, 128)
    torch.testing.assert_close(features, TENSORS["outputs/fbank"], atol=TOLERANCE, rtol=0)
    is_usual = (features - TENSORS["outputs/fbank"]).abs() <= USUAL
    assert is_usual.float().mean() >= SHARE


def test_features_padded_with_zeros_are_those_of_the_reference(features: Tensor) -> None:
    padded = fit_length(features, LENGTH, fill=0.0)
    torch.testing.assert_close(padded, TENSORS["outputs/fbank_cut_or_padded"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("name", "figures"), [("audiomae", AUDIO_MAE), ("cavmae", CAV_MAE)])
@pytest.mark.parametrize(
    ("expected", "fill"),
    [("outputs/{}_input", 0.0), ("corrected/{}_input_log_floor_padding", LOG_FLOOR)],
    ids=["padded as published", "padded with silence"],
)
def test_normalised_input_is_that_of_the_reference(
    features: Tensor, name: str, figures: dict[str, float], expected: str, fill: float
) -> None:
    found = normalise(fit_length(features, LENGTH, fill=fill), **figures)
    torch.testing.assert_close(found, TENSORS[expected.format(name)], atol=TOLERANCE / figures["deviation"], rtol=0)


def test_longer_sound_is_cut_at_the_end(features: Tensor) -> None:
    torch.testing.assert_close(
        fit_length(features, 100, fill=0.0), TENSORS["outputs/fbank"][:100], atol=TOLERANCE, rtol=0
    )
