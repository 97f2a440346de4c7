import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from maskloom import app
from pipelines.modalities import Image, LogMel
from shards.errors import SettingsError
from trainers.export import export_encoder
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.network import Network, Output

IMAGE = Image(size=32, patch=8)
OUTPUTS = {"patches": Output(dim=12)}
AUTOENCODER = MaskedAutoencoder(width=32, depth=2, heads=4, decoder=GlobalDecoder(width=16, depth=1, heads=2))
MASK_TOKENS = MaskTokenEncoder(width=32, depth=3, heads=2)
SCALED = MaskTokenEncoder(width=32, depth=2, heads=2, layer_scale=0.1, drop_path=0.1)


def shaken(network: Network) -> Network:
    """Move every parameter off its initial value, so that none that is forgotten could hide."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def in_timm(path: Path) -> torch.nn.Module:
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["timm"])
    model = timm.create_model(header["architecture"], num_classes=0, **header["model_args"])
    model.load_state_dict(load_file(path), strict=True)
    return model.eval()


def normalised(count: int) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("architecture", [AUTOENCODER, MASK_TOKENS, SCALED])
def test_timm_says_the_same_of_a_picture_as_the_encoder(
    architecture: MaskedAutoencoder | MaskTokenEncoder, tmp_path: Path
) -> None:
    network = shaken(architecture.build((IMAGE,), outputs=OUTPUTS))
    export_encoder(network, (IMAGE,)).write(tmp_path / "encoder.safetensors")
    pictures = normalised(4)
    with torch.no_grad():
        theirs = in_timm(tmp_path / "encoder.safetensors").forward_features(pictures)
        assert (network.encode({"image": pictures}) - theirs).abs().max() < 1e-5


def test_relative_positions_and_other_modalities_are_refused() -> None:
    relative = MaskTokenEncoder(width=32, depth=1, heads=2, positions="relative").build((IMAGE,), outputs=OUTPUTS)
    with pytest.raises(SettingsError, match="biases of its attention"):
        export_encoder(relative, (IMAGE,))
    with pytest.raises(SettingsError, match="Only encoders of pictures"):
        export_encoder(relative, (LogMel(),))


def test_the_command_refuses_a_name_that_is_no_safetensors_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(tmp_path), str(tmp_path / "encoder.pth")])
    assert isinstance(result.exception, SettingsError)
    assert "end in .safetensors" in str(result.exception)


def test_an_encoder_without_class_token_or_biases_is_not_exported() -> None:
    for changed in (replace(AUTOENCODER, class_token=False), replace(AUTOENCODER, biases="query and value")):
        network = changed.build((IMAGE,), outputs={"patches": Output(dim=IMAGE.patch_values)})
        with pytest.raises(SettingsError, match="have a class token, biases for"):
            export_encoder(network, [IMAGE])
