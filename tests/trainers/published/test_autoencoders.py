import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.modalities import Image
from trainers.models.masked_autoencoder import MaskedAutoencoder, MaskedAutoencoderNetwork
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.network import Output
from trainers.published.autoencoders import naming, our_name
from trainers.published.naming import WeightsError
from trainers.published.reading import read_checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "mae.safetensors"


@pytest.fixture
def official() -> dict[str, Tensor]:
    weights = {name: value for name, value in load_file(GOLDEN).items() if name.startswith("weights/")}
    return {name.removeprefix("weights/"): value for name, value in weights.items()}


def network_of(*, depth: int = 2, size: int = 32) -> MaskedAutoencoderNetwork:
    architecture = MaskedAutoencoder(width=32, depth=depth, heads=4, decoder=GlobalDecoder(width=24, depth=2, heads=3))
    return architecture.build((Image(size=size, patch=8),), outputs={"patches": Output(dim=192)})


def encoder_of(official: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in official.items() if "decoder" not in name and name != "mask_token"}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_every_form_of_checkpoint_gives_the_same_weights(official: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(official, tmp_path / "a.safetensors")
    torch.save({"model": official}, tmp_path / "b.pth")
    torch.save({f"module.{name}": value for name, value in official.items()}, tmp_path / "c.pth")
    extras = {"model": official, "args": argparse.Namespace(lr=1e-3), "epoch": 800}
    torch.save(extras, tmp_path / "d.pth")
    for path in tmp_path.iterdir():
        state = read_checkpoint(path)
        assert set(state) == set(official)
        assert all(torch.equal(state[name], official[name]) for name in official)


def test_a_checkpoint_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"model": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="Nothing in it was executed"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.pth", b"PK"), ("a.safetensors", b"{}"), ("b.pth", b""), ("c.pth", b"hello"), ("a.npz", b"PK")],
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_checkpoint(tmp_path / name)


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, 5: torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="there is no file"):
        read_checkpoint(tmp_path / "b.pth")


def test_an_encoder_without_its_decoder_is_named_as_such(official: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"missing: decoder\.mask_token.*encoder without its decoder"):
        naming(network_of()).load(encoder_of(official), network_of())


def test_the_encoder_alone_can_be_imported_from_either_file(official: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    images = {"image": torch.randn(1, 3, 32, 32)}
    whole, from_encoder, from_whole = network_of(), network_of(), network_of()
    decoder = from_whole.decoder.mask_token.clone()
    naming(whole).load(official, whole)
    naming(from_encoder).load(encoder_of(official), from_encoder, part="encoder")
    naming(from_whole).load(official, from_whole, part="encoder")
    assert torch.equal(from_encoder.encode(images), whole.encode(images))
    assert torch.equal(from_whole.encode(images), whole.encode(images))
    assert torch.equal(from_whole.decoder.mask_token, decoder)


def test_names_we_do_not_have_are_listed(official: dict[str, Tensor]) -> None:
    classifier = {**official, "head.weight": torch.zeros(1000, 32), "fc_norm.bias": torch.zeros(32)}
    with pytest.raises(WeightsError, match=r"2 unexpected: head\.weight, fc_norm\.bias"):
        naming(network_of()).load(classifier, network_of())


def test_blocks_beyond_the_network_are_unexpected_and_blocks_beyond_the_file_missing(
    official: dict[str, Tensor],
) -> None:
    with pytest.raises(WeightsError, match=r"12 unexpected: blocks\.1\.attn"):
        naming(network_of(depth=1)).load(official, network_of(depth=1))
    with pytest.raises(WeightsError, match=r"12 missing: encoder\.blocks\.2\.norm1\.weight"):
        naming(network_of(depth=3)).load(official, network_of(depth=3))


def test_a_refused_import_leaves_the_network_as_it_was(official: dict[str, Tensor]) -> None:
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    del official["norm.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: encoder\.norm\.weight"):
        naming(network).load(official, network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_weights_for_another_picture_size_are_refused(official: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"'pos_embed' has shape \(1, 17, 32\), this network needs \(1, 37, 32\)"):
        naming(network_of(size=48)).load(official, network_of(size=48))


def test_weights_of_another_width_are_refused_with_both_shapes(official: dict[str, Tensor]) -> None:
    official["norm.weight"] = torch.ones(48)
    with pytest.raises(WeightsError, match=r"encoder\.norm\.weight is \(48,\), needed \(32,\)"):
        naming(network_of()).load(official, network_of())


def test_positions_that_are_not_the_fixed_table_are_refused(official: dict[str, Tensor]) -> None:
    official["pos_embed"] = official["pos_embed"] + 0.01
    with pytest.raises(WeightsError, match=r"'pos_embed' differs from the fixed sine-cosine table by up to 0\.01"):
        naming(network_of()).load(official, network_of())


def test_a_state_under_another_name_is_found(tmp_path: Path) -> None:
    path = tmp_path / "cloud.pth"
    torch.save({"base_model": {"module.MAE_encoder.norm.weight": torch.ones(3)}, "epoch": 300}, path)
    assert list(read_checkpoint(path)) == ["MAE_encoder.norm.weight"]


def test_names_of_clips_and_clouds_are_understood() -> None:
    assert our_name("encoder.blocks.3.attn.q_bias") == "encoder.blocks.3.attention.qkv.query_bias"
    assert our_name("decoder.blocks.0.mlp.fc1.bias") == "decoder.blocks.0.perceptron.expand.bias"
    assert our_name("MAE_encoder.blocks.blocks.1.norm1.weight") == "encoder.blocks.1.norm1.weight"
    assert our_name("MAE_encoder.encoder.first_conv.1.running_mean") == "embed.first.1.running_mean"
    assert our_name("encoder.blocks.3.attn.k_bias") is None
