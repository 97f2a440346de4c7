"""Vision transformers of timm as teachers, on small checkpoints in timm's own format with seeded weights."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from ingest.networks.resizing import Preparation
from ingest.teachers import Teacher, build_teacher, new_teacher, teacher_settings
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import (
    CPU,
    hostile_pickle,
    plain_pickle,
    saved_timm,
    some_pictures,
    timm_network,
)

DINO = "vit_small_patch16_224"
DINOV2 = "vit_small_patch14_reg4_dinov2"
DINOV3 = "vit_small_patch16_dinov3"
BEIT = "beitv2_base_patch16_224"
SIGLIP = "vit_base_patch16_siglip_224"
OWN_SIZE = {DINO: 64, DINOV2: 56, DINOV3: 64, BEIT: 64, SIGLIP: 64}
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return {name: timm_network(name, img_size=side) for name, side in OWN_SIZE.items()}


@pytest.fixture(scope="module")
def files(networks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("timm")
    return {name: saved_timm(folder, network, name, img_size=OWN_SIZE[name]) for name, network in networks.items()}


def teacher(file: Path, *settings: str, size: int = 64) -> Teacher:
    return new_teacher("dino", size=size, settings=[f"weights={file}", *settings])


def shown(network: Any, side: int) -> torch.Tensor:
    """What timm's own transforms make of the pictures; views of 64 pixels shown at 56 are resized as they are in a stream."""
    config = network.pretrained_cfg
    return Preparation(size=side, mean=config["mean"], deviation=config["std"])(some_pictures())


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [DINO, DINOV2, DINOV3, BEIT, SIGLIP])
def test_tokens_are_those_of_timms_forward(name: str, networks: dict[str, Any], files: dict[str, Path]) -> None:
    network = networks[name]
    with torch.inference_mode():
        tokens = network.forward_features(shown(network, OWN_SIZE[name]))
    prefix = network.num_prefix_tokens
    asked = teacher(files[name])
    found = asked.load(CPU)(some_pictures())
    assert found.dtype == torch.float32
    assert found.shape[1:] == asked.shape == (16, 48)
    assert close(found, tokens[:, prefix:])
    if name != SIGLIP:
        assert close(teacher(files[name], "output=class").load(CPU)(some_pictures()), tokens[:, 0])
    if prefix > 1:
        assert close(teacher(files[name], "output=registers").load(CPU)(some_pictures()), tokens[:, 1:prefix])


@pytest.mark.parametrize("name", [DINO, DINOV2, DINOV3, BEIT, SIGLIP])
def test_pooled_is_what_timms_head_would_get(name: str, networks: dict[str, Any], files: dict[str, Path]) -> None:
    network = networks[name]
    with torch.inference_mode():
        wanted = network(shown(network, OWN_SIZE[name]))
    assert close(teacher(files[name], "output=pooled").load(CPU)(some_pictures()), wanted)


@pytest.mark.parametrize(("layer", "norm"), [(0, True), (1, False), (-1, False), (-3, True)])
def test_any_layer_with_and_without_norm(
    layer: int, norm: bool, networks: dict[str, Any], files: dict[str, Path]
) -> None:
    network = networks[DINOV2]
    with torch.inference_mode():
        every = network.forward_intermediates(shown(network, 56), norm=norm, output_fmt="NLC", intermediates_only=True)
    found = teacher(files[DINOV2], f"layer={layer}", f"norm={norm}").load(CPU)(some_pictures())
    assert close(found, every[layer])


@pytest.mark.parametrize("name", [DINO, DINOV2, DINOV3, BEIT])
def test_attention_leaves_out_what_class_and_registers_get(name: str, files: dict[str, Path]) -> None:
    asked = teacher(files[name], "output=attention")
    found = asked.load(CPU)(some_pictures())
    assert found.shape[1:] == asked.shape == (16,)
    assert found.min() > 0
    assert (found.sum(dim=1) < 1).all()


@pytest.mark.parametrize("layer", [0, 2])
def test_attention_is_the_softmax_of_queries_and_keys(
    layer: int, networks: dict[str, Any], files: dict[str, Path]
) -> None:
    network = networks[DINO]
    with torch.inference_mode():
        tokens = network._pos_embed(network.patch_embed(shown(network, 64)))
        for block in network.blocks[:layer]:
            tokens = block(tokens)
        block = network.blocks[layer]
        queries, keys, _ = block.attn.qkv(block.norm1(tokens)).reshape(3, 17, 3, 4, 12).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-2, -1) / 12**0.5).softmax(dim=-1)
    found = teacher(files[DINO], "output=attention", f"layer={layer}").load(CPU)(some_pictures())
    assert close(found, weights[:, :, 0, 1:].mean(dim=1))


def test_reading_attention_changes_nothing_else(files: dict[str, Path]) -> None:
    tokens = teacher(files[DINO])
    before = tokens.load(CPU)(some_pictures())
    teacher(files[DINO], "output=attention").load(CPU)(some_pictures())
    assert torch.equal(tokens.load(CPU)(some_pictures()), before)


@pytest.mark.parametrize("output", ["patches", "class", "attention", "pooled"])
def test_rows_do_not_depend_on_their_batch(output: str, files: dict[str, Path]) -> None:
    compute = teacher(files[DINOV3], f"output={output}").load(CPU)
    together = compute(some_pictures())
    for row in range(3):
        assert close(compute(some_pictures()[row : row + 1])[0], together[row])


@pytest.mark.parametrize("output", ["patches", "attention", "pooled"])
def test_bf16_stays_near_and_gives_float32(output: str, files: dict[str, Path]) -> None:
    compute = teacher(files[DINO], f"output={output}").load(CPU)
    exact = compute(some_pictures())
    with torch.autocast("cpu", torch.bfloat16):
        found = compute(some_pictures())
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 0.03 * exact.norm()


def test_positions_are_interpolated_as_timm_does(networks: dict[str, Any], files: dict[str, Path]) -> None:
    wider = timm_network(DINO)
    wider.set_input_size(img_size=(128, 128))
    picture = some_pictures(size=128)
    with torch.inference_mode():
        wanted = wider.forward_features(Preparation(size=128, mean=HALF, deviation=HALF)(picture))[:, 1:]
    asked = teacher(files[DINO], size=128)
    assert asked.shape == (64, 48)
    assert close(asked.load(CPU)(picture), wanted)


def test_a_teacher_of_other_patches_is_shown_pictures_of_the_size_that_gives_the_same_grid(
    files: dict[str, Path],
) -> None:
    asked = teacher(files[DINOV2], size=96)
    assert asked.shape == (36, 48)
    assert asked.preprocessing.startswith(
        "bicubic with antialiasing to 84 x 84 pixels, scaled to [0, 1], then mean (0.485"
    )
    assert asked.load(CPU)(some_pictures(size=96)).shape == (3, 36, 48)


def test_a_size_that_gives_another_grid_is_refused_with_the_one_that_fits(files: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"grid of 4 x 4; .* at input_size=56, not at input_size=64"):
        _ = teacher(files[DINOV2], "input_size=64").shape
    with pytest.raises(SettingsError, match="give a patch that divides the size"):
        _ = teacher(files[DINOV2], "patch=10").shape
    assert teacher(files[DINOV2], "input_size=56").shape == (16, 48)


def test_an_output_without_a_grid_is_read_at_the_networks_own_size(files: dict[str, Path]) -> None:
    assert "to 56 x 56" in teacher(files[DINOV2], "output=class", size=224).preprocessing
    assert "to 112 x 112" in teacher(files[DINOV2], "output=class", "input_size=112", size=224).preprocessing
    with pytest.raises(SettingsError, match="not a multiple of the teacher's patches of 14 pixels; 98 is"):
        _ = teacher(files[DINOV2], "output=class", "input_size=100").shape


def test_shapes_of_large_models_are_known_without_their_weights() -> None:
    asked = new_teacher("dino", size=224, settings=["model=vit_large_patch14_reg4_dinov2.lvd142m"])
    assert asked.shape == (196, 1024)
    assert "to 196 x 196" in asked.preprocessing
    assert new_teacher("dino", size=224, settings=[]).shape == (196, 768)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(layer: int, files: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=rf"layer={layer} .* has 3 layers, 0 to 2, or -3 to -1"):
        _ = teacher(files[DINO], f"layer={layer}").shape


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        (SIGLIP, ["output=class"], "no class token"),
        (SIGLIP, ["output=attention"], "no class token"),
        (DINO, ["output=registers"], "no register tokens"),
        (DINO, ["output=pooled", "layer=0"], "pooled is the last layer"),
    ],
)
def test_an_output_that_a_network_lacks_is_refused(
    name: str, settings: list[str], complaint: str, files: dict[str, Path]
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _ = teacher(files[name], *settings).shape


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("vit_bse_patch16_224", r"no model 'vit_bse_patch16_224'\. Did you mean 'vit_base_patch16_224'"),
        ("vit_base_patch16_224.dinno", r"no weights 'dinno' .* Did you mean 'vit_base_patch16_224\.dino'"),
        ("../../etc/passwd", "no model"),
        ("hf-hub:someone/something", "no model"),
        ("resnet18", "has no plain grid of tokens"),
        ("swin_tiny_patch4_window7_224", "has no plain grid of tokens"),
    ],
)
def test_a_model_that_is_none_is_refused(model: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _ = new_teacher("dino", size=224, settings=[f"model={model}"]).shape


def test_weights_of_another_model_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds a 'vit_small_patch16_224', but model=vit_base_patch16_224"):
        _ = teacher(files[DINO], "model=vit_base_patch16_224").shape
    state = timm_network(DINO).state_dict()
    save_file(state, tmp_path / "bare.safetensors")
    with pytest.raises(SettingsError, match=r"not those of 'vit_tiny_patch16_224': .*Missing key.*size mismatch"):
        teacher(tmp_path / "bare.safetensors", "model=vit_tiny_patch16_224").load(CPU)
    lacking = {name: value for name, value in state.items() if name != "blocks.1.mlp.fc1.bias"}
    lacking_file = saved_state(tmp_path, lacking)
    with pytest.raises(SettingsError, match=r"Missing key.*blocks\.1\.mlp\.fc1\.bias"):
        teacher(lacking_file).load(CPU)


def saved_state(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """Write weights of the small DINO as safetensors with its header."""

    class Holder:
        def state_dict(self) -> dict[str, torch.Tensor]:
            return state

    return saved_timm(folder, Holder(), DINO)


def test_the_head_that_comes_with_weights_is_passed_over(tmp_path: Path, networks: dict[str, Any]) -> None:
    state = {**networks[DINO].state_dict(), "head.weight": torch.zeros(7, 48), "head.bias": torch.zeros(7)}
    with torch.inference_mode():
        wanted = networks[DINO](shown(networks[DINO], 64))
    assert close(teacher(saved_state(tmp_path, state), "output=pooled").load(CPU)(some_pictures()), wanted)


def test_a_checkpoint_of_a_training_run_gives_the_same_targets_and_digest(
    tmp_path: Path, networks: dict[str, Any], files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {f"module.{name}": value for name, value in networks[DINO].state_dict().items()}
    torch.save({"epoch": 3, "model": state, "optimizer": {"lr": [0.1]}}, tmp_path / "checkpoint.pth")
    # The file has no header, and timm no name for so small a network: its small ViT stands in, with other defaults.
    monkeypatch.setattr("ingest.networks.timm_models.header_of", lambda path: {"timm": _header_of(files[DINO])})
    asked = teacher(tmp_path / "checkpoint.pth")
    assert asked.weights_sha256 == teacher(files[DINO]).weights_sha256
    assert torch.equal(asked.load(CPU)(some_pictures()), teacher(files[DINO]).load(CPU)(some_pictures()))


def _header_of(path: Path) -> str:
    from ingest.networks.weights import header_of

    return header_of(path)["timm"]


def test_one_weight_changes_the_digest(tmp_path: Path, networks: dict[str, Any], files: dict[str, Path]) -> None:
    state = {name: value.clone() for name, value in networks[DINO].state_dict().items()}
    state["norm.bias"][5] += 1e-6
    changed = teacher(saved_state(tmp_path, state))
    assert changed.weights_sha256 != teacher(files[DINO]).weights_sha256
    assert len(changed.weights_sha256 or "") == 64


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.pt"])
def test_code_in_a_checkpoint_is_refused_and_not_executed(
    name: str, tmp_path: Path, networks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    witness = tmp_path / "executed"
    settings = [f"model={DINO}"]
    hostile = hostile_pickle(tmp_path / name, witness, networks[DINO].state_dict())
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        teacher(hostile, *settings).load(CPU)
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        teacher(plain_pickle(tmp_path / name, witness), *settings).load(CPU)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("missing.pth", None, "no file of weights"),
        ("weights.npz", b"PK", "is none of these"),
        ("weights.safetensors", b"\x08\0\0\0\0\0\0\0{}", "not a whole safetensors file"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, content: bytes | None, complaint: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=complaint):
        teacher(tmp_path / name, f"model={DINO}").load(CPU)


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("[]", "does not say what its network is"),
        ("{", "does not say what its network is"),
        ('{"architecture": 3}', "does not say what its network is"),
        ('{"architecture": "vit_tiny_patch16_224", "model_args": {"checkpoint_path": "/x"}}', "sets 'checkpoint_path'"),
        ('{"architecture": "vit_tiny_patch16_224", "model_args": {"depth": [1]}}', "does not say what its network is"),
    ],
)
def test_a_header_that_says_too_much_or_too_little_is_refused(header: str, complaint: str, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"timm": header})
    with pytest.raises(SettingsError, match=complaint):
        _ = teacher(tmp_path / "x.safetensors").shape


def test_weights_by_name_come_from_timms_hub_and_say_so_when_they_do_not(
    monkeypatch: pytest.MonkeyPatch, networks: dict[str, Any]
) -> None:
    """The hub is replaced by a function: it gives the state dict of a small network that timm has the name of."""
    tiny = timm.create_model("vit_tiny_patch16_224.augreg_in21k", num_classes=0).eval()
    asked_for = []

    def hub(identity: str, **options: Any) -> dict[str, torch.Tensor]:
        asked_for.append((identity, options["weights_only"]))
        return dict(tiny.state_dict())

    monkeypatch.setattr("timm.models.load_state_dict_from_hf", hub)
    asked = new_teacher("dino", size=32, settings=["model=vit_tiny_patch16_224.augreg_in21k"])
    assert asked.load(CPU)(some_pictures(size=32)).shape == (3, 4, 192)
    assert asked_for == [("timm/vit_tiny_patch16_224.augreg_in21k", True)]

    def offline(identity: str, **options: Any) -> dict[str, torch.Tensor]:
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models.load_state_dict_from_hf", offline)
    with pytest.raises(SettingsError, match=r"cannot be downloaded: no route to host Give weights=FILE"):
        _ = asked.weights_sha256


def test_a_teacher_is_the_same_after_its_settings_were_written_down(files: dict[str, Path]) -> None:
    asked = teacher(files[DINO], "output=class", "layer=1")
    again = build_teacher("dino", teacher_settings(asked))
    assert again == asked
    assert torch.equal(again.load(CPU)(some_pictures()), asked.load(CPU)(some_pictures()))
