"""What is measured against does what the published codes do: the losses and gradients of the golden runs."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.reference_networks import Attend, CavMae, Half, Mae, Stack, VideoMae, softmax_attention
from pipelines.modalities import Clip
from tests.parity.golden import Golden
from trainers.nn.positions import position_table, sincos_2d

Made = dict[str, int]


def stacks(made: Made, attend: Attend, *, norm_eps: float, prefix: str = "") -> tuple[Stack, Stack]:
    """Return encoder and decoder of a golden run."""
    encoder, decoder = (
        Stack(
            width=made[f"{side}embed_dim"],
            depth=made.get(f"{side}depth", 1),
            heads=made.get(f"{side}num_heads", 1),
            attend=attend,
            norm_eps=norm_eps,
        )
        for side in (prefix, "decoder_")
    )
    return encoder, decoder


def mae(golden: Golden, attend: Attend) -> tuple[nn.Module, tuple[Tensor, ...]]:
    made, kept = golden.about["constructor"], golden.about["call"]["kept"]
    positions = (golden.tensors["weights/pos_embed"], golden.tensors["weights/decoder_pos_embed"])
    encoder, decoder = stacks(made, attend, norm_eps=1e-6)
    network = Mae(encoder, decoder, patch=made["patch_size"], positions=positions, kept=kept)
    return network, (golden.tensors["inputs/images"], golden.tensors["noise/noise"])


def video_mae(golden: Golden, attend: Attend) -> tuple[nn.Module, tuple[Tensor, ...]]:
    made = golden.about["constructor"]
    clip = Clip(size=made["img_size"], patch=made["patch_size"], frames=16, tubelet=made["tubelet_size"])
    encoder, decoder = stacks(made, attend, norm_eps=1e-6, prefix="encoder_")
    tables = [position_table(clip, width=stack.width)[None] for stack in (encoder, decoder)]
    network = VideoMae(encoder, decoder, cube=(2, clip.patch, clip.patch), positions=(tables[0], tables[1]))
    return network, (golden.tensors["inputs/videos"], golden.tensors["noise/mask"].bool())


def cav_mae(golden: Golden, attend: Attend) -> tuple[nn.Module, tuple[Tensor, ...]]:
    made, call = golden.about["constructor"], golden.about["call"]
    encoder, decoder = stacks(made, attend, norm_eps=1e-5)
    sides = [(1, "audio", (8, made["audio_length"] // 16)), (3, "visual", (made["img_size"] // 16,) * 2)]
    sound, picture = (
        Half(
            channels=channels,
            positions=(sincos_2d(grid, width=encoder.width)[None], sincos_2d(grid, width=decoder.width)[None]),
            kept=call[f"{name}_kept"],
        )
        for channels, name, grid in sides
    )
    network = CavMae(
        encoder, decoder, own_depth=call["audio_blocks"], patch=made["patch_size"], sound=sound, picture=picture
    )
    shown = ("inputs/audio", "inputs/image", "noise/noise_audio", "noise/noise_visual")
    return network, tuple(golden.tensors[name] for name in shown)


CODES = {"mae": mae, "videomae": video_mae, "cavmae": cav_mae}


def load_official(network: nn.Module, golden: Golden) -> None:
    """Load the weights of a golden run; what is left over has to be tables, or norms that the code never uses."""
    weights = {name.removeprefix("module."): value for name, value in golden.under("weights/").items()}
    left = network.load_state_dict(weights, strict=False)
    assert not left.missing_keys
    idle = {name.removeprefix("module.") for name in golden.about["parameters_without_gradient"]}
    assert {name for name in left.unexpected_keys if "pos_embed" not in name} <= idle


@pytest.mark.parametrize("attend", [softmax_attention, scaled_dot_product_attention])
@pytest.mark.parametrize("name", CODES)
def test_a_network_has_the_loss_and_the_gradients_of_the_published_one(name: str, attend: Attend) -> None:
    golden = Golden.open(name)
    network, shown = CODES[name](golden, attend)
    load_official(network, golden)
    loss = network(*shown)
    golden.assert_loss(loss, "outputs/loss")
    loss.backward()
    golden.assert_gradients(network, lambda official: official.removeprefix("module."), lambda _, value: value)


def test_explicit_attention_is_the_fused_one() -> None:
    query, key, value = torch.randn(3, 2, 3, 7, 8).unbind()
    torch.testing.assert_close(
        softmax_attention(query, key, value), scaled_dot_product_attention(query, key, value), atol=1e-5, rtol=0
    )
