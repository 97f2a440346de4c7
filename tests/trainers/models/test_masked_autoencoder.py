from dataclasses import replace

import pytest
import torch

from pipelines.modalities import Clip, Image, LogMel, Points
from shards.errors import SettingsError
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.blocks import Attention, KeylessBias
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.network import Output

CLIP = Clip(size=16, patch=8, frames=4)
ARCHITECTURE = MaskedAutoencoder(width=96, depth=2, heads=3, decoder=GlobalDecoder(width=64, depth=1, heads=2))


def test_linear_weights_start_xavier_uniform_and_tokens_at_two_hundredths() -> None:
    torch.manual_seed(0)
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std() > 0.95 * bound / 3**0.5
            assert not module.bias.any()
    assert 0.01 < network.encoder.class_token.std() < 0.03
    assert 0.01 < network.decoder.mask_token.std() < 0.03


def test_fixed_positions_are_neither_trained_nor_stored() -> None:
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    assert not any("positions" in name for name in network.state_dict())
    assert not any("positions" in name for name, _ in network.named_parameters())


def test_encoder_runs_on_visible_tokens_alone() -> None:
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    encoded = network.encoder(torch.zeros(2, 4, 192), torch.tensor([[0, 3, 5, 7]] * 2))
    assert encoded.shape == (2, 5, 96)


def test_a_key_without_bias_changes_nothing_that_attention_gives() -> None:
    torch.manual_seed(0)
    partial = Attention(24, heads=3, biases="query and value")
    assert isinstance(partial.qkv, KeylessBias)
    torch.nn.init.normal_(partial.qkv.query_bias)
    torch.nn.init.normal_(partial.qkv.value_bias)
    full = Attention(24, heads=3)
    full.load_state_dict(
        {
            "qkv.weight": partial.qkv.weight,
            "qkv.bias": torch.cat([partial.qkv.query_bias, torch.randn(24), partial.qkv.value_bias]),
            "projection.weight": partial.projection.weight,
            "projection.bias": partial.projection.bias,
        }
    )
    tokens = torch.randn(2, 5, 24)
    torch.testing.assert_close(partial(tokens), full(tokens))


def test_without_a_class_token_nothing_is_said_of_the_sample() -> None:
    bare = replace(ARCHITECTURE, class_token=False)
    network = bare.build((CLIP,), outputs={"patches": Output(dim=4)})
    assert network.encode({"video": torch.zeros(2, 3, 4, 16, 16, dtype=torch.uint8)}).shape == (2, CLIP.num_tokens, 96)
    with pytest.raises(SettingsError, match="predicts at target and visible"):
        bare.build((CLIP,), outputs={"patches": Output(dim=4), "class": Output(dim=4, places="sample")})


def test_modalities_without_patches_are_refused() -> None:
    with pytest.raises(SettingsError, match="'points' is a Points"):
        ARCHITECTURE.build((Points(),), outputs={"patches": Output(dim=4)})


def test_a_sound_is_represented_by_the_patches_that_hold_some() -> None:
    sound = LogMel(frames=64, bins=16, patch=8)
    network = ARCHITECTURE.build((sound,), outputs={"patches": Output(dim=sound.patch_values)}).eval()
    inputs = {"logmel": torch.randn(2, 64, 16)}
    tokens = network.encode(inputs)[:, 1:]
    found = network.represent(inputs, {"logmel": torch.tensor([6, 16])})
    torch.testing.assert_close(found[0], tokens[0, :6].mean(dim=0))
    torch.testing.assert_close(found[1], tokens[1].mean(dim=0))
    torch.testing.assert_close(network.represent(inputs), network.pool(network.encode(inputs)))
