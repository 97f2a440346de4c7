import numpy as np
import pytest

from pipelines.masking.colour import Colour, ColourNoisePatches
from pipelines.modalities import Clip, Image
from shards.errors import SettingsError
from tests.pipelines.masking.samples import TEXT, World, hidden_in

IMAGE = Image(size=224, patch=16)
CONTEXT = World().context(range(400))


def masks_of(colour: Colour) -> np.ndarray:
    return hidden_in(ColourNoisePatches(ratio=0.5, colour=colour).plan(CONTEXT, modality=IMAGE), IMAGE)


def agreement(masks: np.ndarray) -> float:
    """How often neighbours have the same fate: half of the time if they know nothing of each other."""
    return float((masks[:, :, 1:] == masks[:, :, :-1]).mean())


def power_by_frequency(masks: np.ndarray) -> np.ndarray:
    """Mean power of low, middle and high frequencies of the masks."""
    spectrum = (np.abs(np.fft.fft2(masks - 0.5)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(14), np.fft.fftfreq(14)))
    bands = [(0.01, 0.12), (0.12, 0.3), (0.4, 0.8)]
    return np.array([spectrum[(frequency >= low) & (frequency < high)].mean() for low, high in bands])


def test_red_patterns_are_coarse_and_blue_ones_fine() -> None:
    found = {colour: agreement(masks_of(colour)) for colour in ("red", "green", "blue", "purple")}  # type: ignore[arg-type]
    assert found["red"] > 0.75
    assert found["blue"] < 0.45
    assert found["blue"] < found["purple"] < found["red"]


def test_each_colour_has_its_power_where_its_filter_passes() -> None:
    low, middle, high = power_by_frequency(masks_of("red"))
    assert low > 5 * middle > 5 * high
    low, middle, high = power_by_frequency(masks_of("blue"))
    assert high > middle > low
    low, middle, high = power_by_frequency(masks_of("green"))
    assert middle > 1.3 * low
    assert middle > 1.3 * high
    low, middle, high = power_by_frequency(masks_of("purple"))
    assert low > 1.5 * middle
    assert high > 1.5 * middle


def test_the_share_is_exact_and_no_place_is_favoured() -> None:
    masks = hidden_in(
        ColourNoisePatches(ratio=0.75, colour="red").plan(World().context(range(4000)), modality=IMAGE), IMAGE
    )
    assert (masks.sum(axis=(1, 2)) == 147).all()
    # Binomial with mean 3000 and standard deviation 27.
    assert abs(masks.sum(axis=0) - 3000).max() < 150


def test_opposite_edges_have_nothing_in_common() -> None:
    masks = masks_of("red")
    assert abs((masks[:, 0] == masks[:, -1]).mean() - 0.5) < 0.06
    assert (masks[:, 0] == masks[:, 1]).mean() > 0.75


def test_rows_of_tokens_and_clips_have_colours_too() -> None:
    clip = Clip(size=64, patch=16, frames=8)
    masks = hidden_in(ColourNoisePatches(ratio=0.5, colour="red").plan(CONTEXT, modality=clip), clip)
    assert (masks[:, 1:] == masks[:, :-1]).mean() > 0.6
    assert ColourNoisePatches(ratio=0.5).plan(CONTEXT, modality=TEXT).visible.shape == (400, 12)


@pytest.mark.parametrize("wrong", [{"narrow": 3.0}, {"narrow": 0.0}, {"ratio": 1.0}])
def test_other_colours_and_empty_bands_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="asked for"):
        ColourNoisePatches(**{"ratio": 0.75, **wrong})  # type: ignore[arg-type]


def test_an_unknown_colour_is_refused() -> None:
    masking = ColourNoisePatches(ratio=0.75)
    object.__setattr__(masking, "colour", "pink")  # past the check of types that only tests make
    with pytest.raises(SettingsError, match="give red, green, blue or purple"):
        masking.__post_init__()
