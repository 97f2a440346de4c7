"""Two sensors are encoded apart, and completed together."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from pipelines.masking.plan import MaskPlan
from pipelines.modalities import LogMel, Raster, Text
from pipelines.tokenizers.byte import ByteTokenizer
from shards.errors import SettingsError
from trainers.models.sensor_fusion import SensorFusion, SensorFusionNetwork
from trainers.nn.joint_decoders import JointDecoder
from trainers.nn.network import Output, summary

RADAR = Raster(field="radar", size=16, patch=4, channels=2)
OPTICAL = Raster(field="optical", size=16, patch=4, channels=3)
ARCHITECTURE = SensorFusion(
    width=24,
    depth=2,
    heads=3,
    decoder=JointDecoder(width=16, depth=1, heads=2, own_mask_tokens=False, with_kind=False),
)
OUTPUTS = {"echoes": Output(dim=32, modality="radar"), "bands": Output(dim=48, modality="optical")}


def plan(*visible: list[int]) -> MaskPlan:
    hidden = [[place for place in range(16) if place not in row] for row in visible]
    return MaskPlan(visible=torch.tensor(visible), target=torch.tensor(hidden))


PLANS = {"radar": plan([3, 0, 6], [9, 15, 2]), "optical": plan([3, 5, 10, 8], [1, 2, 0, 7])}


def network() -> SensorFusionNetwork:
    torch.manual_seed(0)
    return ARCHITECTURE.build((RADAR, OPTICAL), outputs=OUTPUTS)


def measured() -> dict[str, Tensor]:
    """Values whose mean and spread nobody takes out: each channel keeps them when one patch of it is turned about."""
    generator = torch.Generator().manual_seed(0)
    return {sensor.name: torch.randn(2, sensor.channels, 16, 16, generator=generator) for sensor in (RADAR, OPTICAL)}


def turned(inputs: Mapping[str, Tensor], name: str, place: int) -> dict[str, Tensor]:
    """The inputs with one patch of the first sample upside down."""
    changed = {key: values.clone() for key, values in inputs.items()}
    row, column = divmod(place, 4)
    patch = changed[name][0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
    patch.copy_(patch.flip(1).clone())
    return changed


def predicted(inputs: Mapping[str, Tensor], plans: Mapping[str, MaskPlan] = PLANS) -> dict[str, Tensor]:
    return network()(inputs, plans)


def moved(name: str, place: int) -> set[str]:
    """Which predictions for the first sample change if a patch is turned about; those of the second never do."""
    before, after = predicted(measured()), predicted(turned(measured(), name, place))
    assert all(torch.allclose(before[key][1], after[key][1], atol=1e-6) for key in before)
    return {key for key in before if not torch.allclose(before[key][0], after[key][0], atol=1e-6)}


def test_what_is_visible_of_either_sensor_reaches_the_predictions_of_both_but_only_its_own_summary() -> None:
    assert moved("radar", 6) == {"echoes", "bands", summary("radar")}
    assert moved("optical", 10) == {"echoes", "bands", summary("optical")}


@pytest.mark.parametrize(("name", "place"), [("radar", 5), ("radar", 10), ("optical", 0), ("optical", 6)])
def test_what_is_hidden_of_a_sensor_reaches_nothing_even_where_the_other_is_visible(name: str, place: int) -> None:
    assert moved(name, place) == set()


def test_predictions_stand_at_the_target_places_of_their_own_sensor() -> None:
    flipped = {name: MaskPlan(visible=one.visible, target=one.target.flip(1)) for name, one in PLANS.items()}
    there, back = predicted(measured()), predicted(measured(), flipped)
    for name, count in (("echoes", 13), ("bands", 12)):
        assert there[name].shape == (2, count, OUTPUTS[name].dim)
        torch.testing.assert_close(there[name], back[name].flip(1))


def test_the_order_of_visible_patches_does_not_matter_but_their_places_do() -> None:
    reordered = {name: MaskPlan(visible=one.visible.flip(1), target=one.target) for name, one in PLANS.items()}
    torch.testing.assert_close(predicted(measured(), reordered), predicted(measured()))
    net, inputs = network(), measured()
    swapped = {name: values.clone() for name, values in inputs.items()}
    left, right = inputs["radar"][..., :4], inputs["radar"][..., 12:]
    swapped["radar"][..., :4], swapped["radar"][..., 12:] = right, left  # the same patches, other columns
    assert not torch.allclose(net.represent_each(swapped)["radar"], net.represent_each(inputs)["radar"], atol=1e-5)


def test_without_distances_a_sensor_alone_does_not_know_where_its_patches_are() -> None:
    net, inputs = network(), measured()
    net.biases.slopes.zero_()
    rolled = {name: values.roll(4, dims=-1) for name, values in inputs.items()}
    torch.testing.assert_close(net.represent_each(rolled), net.represent_each(inputs))


def test_fused_tokens_are_those_of_the_first_sensor_and_both_are_represented_alone() -> None:
    net, inputs = network(), measured()
    tokens = net.encode(inputs)
    assert tokens.shape == (2, 16, 24)
    torch.testing.assert_close(net.represent(inputs), tokens.mean(dim=1))
    each = net.represent_each(inputs)
    without = net.represent_each({**inputs, "optical": torch.zeros_like(inputs["optical"])})
    torch.testing.assert_close(each["radar"], without["radar"])
    assert not torch.allclose(each["optical"], without["optical"])


def test_the_second_sensor_has_twice_the_blocks_of_the_first() -> None:
    blocks = {name: len(encoder.blocks) for name, encoder in network().encoders.items()}  # type: ignore[arg-type]
    assert blocks == {"radar": 1, "optical": 2}


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ((RADAR,), r"two modalities that have rows and columns; this recipe has radar \(4, 4\)"),
        ((RADAR, Text(length=16, tokenizer=ByteTokenizer())), r"text \(16,\)"),
        (
            (RADAR, LogMel(frames=32, bins=16, patch=8)),
            r"one grid of tokens; this recipe has radar \(4, 4\), logmel \(4, 2\)",
        ),
    ],
)
def test_anything_but_two_sensors_of_one_grid_is_refused(
    modalities: tuple[Raster | Text | LogMel, ...], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        ARCHITECTURE.build(modalities, outputs=OUTPUTS)


def test_a_single_block_cannot_be_halved() -> None:
    with pytest.raises(SettingsError, match=r"half of model\.depth=1 blocks; give at least 2"):
        SensorFusion(width=24, depth=1, heads=3, decoder=ARCHITECTURE.decoder).build((RADAR, OPTICAL), outputs=OUTPUTS)
