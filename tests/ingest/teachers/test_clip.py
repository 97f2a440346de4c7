"""Models of open_clip as teachers, on small checkpoints: open_clip's own state dict and configuration, seeded weights."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ingest.networks.resizing import Preparation
from ingest.teachers import Teacher, build_teacher, new_teacher, teacher_settings
from pipelines.modalities import Text
from pipelines.rendering.text import TextRenderer
from pipelines.views import Extent, View
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU, hostile_pickle, plain_pickle, some_pictures

CONFIG: dict[str, Any] = {
    "embed_dim": 40,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 64, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
CAPTIONS = ["a dog", "two cats on a very long sofa " * 5, ""]


@pytest.fixture(scope="module")
def network() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = open_clip.CLIP(**CONFIG)
        with torch.no_grad():
            for value in made.parameters():
                value.add_(torch.randn_like(value), alpha=0.05)
    return made.eval()


@pytest.fixture(scope="module")
def folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `open_clip.push_to_hf_hub.save_for_hf` writes: a configuration beside safetensors."""
    root = tmp_path_factory.mktemp("open_clip")
    (root / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"size": 64}}))
    save_file(network.state_dict(), root / "open_clip_model.safetensors")
    return root


def teacher(folder: Path, *settings: str, size: int = 64, file: str = "open_clip_model.safetensors") -> Teacher:
    chosen = [f"model={folder / 'open_clip_config.json'}", f"pretrained={folder / file}", *settings]
    return new_teacher("clip", size=size, settings=chosen)


def shown(pictures: torch.Tensor | None = None, side: int = 64) -> torch.Tensor:
    prepare = Preparation(size=side, mean=open_clip.OPENAI_DATASET_MEAN, deviation=open_clip.OPENAI_DATASET_STD)
    return prepare(some_pictures() if pictures is None else pictures)


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return torch.allclose(found, wanted, atol=2e-5, rtol=1e-5)


def test_pooled_is_what_encode_image_returns(network: Any, folder: Path) -> None:
    asked = teacher(folder, "output=pooled")
    with torch.inference_mode():
        wanted = network.encode_image(shown())
    found = asked.load(CPU)(some_pictures())
    assert found.shape[1:] == asked.shape == (40,)
    assert close(found, wanted)


def test_text_is_what_encode_text_returns_of_open_clips_own_tokens(network: Any, folder: Path) -> None:
    asked = teacher(folder, "output=text")
    assert isinstance(asked.modality, Text)
    render = TextRenderer(modality=asked.modality).render
    rows = [render(caption.encode(), {}, View(), Extent())[0] for caption in CAPTIONS]
    with torch.inference_mode():
        wanted = network.encode_text(open_clip.SimpleTokenizer(context_length=16)(CAPTIONS))
    found = asked.load(CPU)(torch.stack(rows))
    assert found.shape[1:] == asked.shape == (40,)
    assert close(found, wanted)


def test_a_custom_text_tower_is_read_as_well(network: Any, folder: Path, tmp_path: Path) -> None:
    config = {**CONFIG, "custom_text": True}
    with torch.random.fork_rng(devices=[]):
        custom = open_clip.CustomTextCLIP(**CONFIG).eval()
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(custom.state_dict(), tmp_path / "open_clip_model.safetensors")
    ids = open_clip.SimpleTokenizer(context_length=16)(CAPTIONS)
    with torch.inference_mode():
        assert close(teacher(tmp_path, "output=text").load(CPU)(ids), custom.encode_text(ids))
        assert close(teacher(tmp_path, "output=pooled").load(CPU)(some_pictures()), custom.encode_image(shown()))


def test_patches_of_the_last_layer_are_the_tokens_that_open_clip_gives_out(network: Any, folder: Path) -> None:
    visual = network.visual
    with torch.inference_mode():
        _, tokens = visual._pool(visual.transformer(visual._embeds(shown())))
    asked, projected = teacher(folder), teacher(folder, "projected=true")
    assert asked.shape == (16, 64)
    assert projected.shape == (16, 40)
    assert close(asked.load(CPU)(some_pictures()), tokens)
    assert close(projected.load(CPU)(some_pictures()), tokens @ visual.proj)


@pytest.mark.parametrize(("layer", "norm"), [(0, True), (1, False), (-1, False), (-2, True)])
def test_any_layer_with_and_without_norm(layer: int, norm: bool, network: Any, folder: Path) -> None:
    with torch.inference_mode():
        every = network.visual.forward_intermediates(
            shown(), normalize_intermediates=norm, intermediates_only=True, output_fmt="NLC"
        )["image_intermediates"]
    found = teacher(folder, f"layer={layer}", f"norm={norm}").load(CPU)(some_pictures())
    assert close(found, every[layer])


def test_positions_are_interpolated_as_open_clip_does(network: Any, folder: Path) -> None:
    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": 96}}
    wider = open_clip.CLIP(**config).eval()
    open_clip.factory.load_checkpoint(wider, str(folder / "open_clip_model.safetensors"))
    pictures = some_pictures(size=96)
    with torch.inference_mode():
        wanted = wider.encode_image(shown(pictures, 96))
    assert close(teacher(folder, "output=pooled", "input_size=96", size=96).load(CPU)(pictures), wanted)
    assert teacher(folder, size=96).load(CPU)(pictures).shape == (3, 36, 64)


@pytest.mark.parametrize("settings", [(), ("output=pooled",), ("layer=0", "projected=true")])
def test_rows_do_not_depend_on_their_batch(settings: tuple[str, ...], folder: Path) -> None:
    compute = teacher(folder, *settings).load(CPU)
    together = compute(some_pictures())
    for row in range(3):
        assert close(compute(some_pictures()[row : row + 1])[0], together[row])


@pytest.mark.parametrize("output", ["patches", "pooled", "text"])
def test_bf16_stays_near_and_gives_float32(output: str, folder: Path) -> None:
    shown_to = some_pictures() if output != "text" else open_clip.SimpleTokenizer(context_length=16)(CAPTIONS)
    compute = teacher(folder, f"output={output}").load(CPU)
    exact = compute(shown_to)
    with torch.autocast("cpu", torch.bfloat16):
        found = compute(shown_to)
    assert found.dtype == torch.float32
    assert (found - exact).norm() < 0.03 * exact.norm()


def test_views_of_another_size_are_resized_to_the_size_that_fits(folder: Path) -> None:
    asked = teacher(folder, "patch=28", size=112)
    assert asked.shape == (16, 64)
    assert asked.preprocessing == (
        "bicubic with antialiasing to 64 x 64 pixels, scaled to [0, 1], then mean (0.48145466, 0.4578275, 0.40821073) and "
        "standard deviation (0.26862954, 0.26130258, 0.27577711)"
    )
    with pytest.raises(SettingsError, match=r"grid of 4 x 4; .* at input_size=64, not at input_size=112"):
        _ = teacher(folder, "patch=28", "input_size=112", size=112).shape


def test_shapes_of_published_models_are_known_without_their_weights() -> None:
    large = new_teacher("clip", size=224, settings=["model=ViT-L-14"])
    assert large.shape == (256 - 60, 1024)
    assert "to 196 x 196" in large.preprocessing
    assert new_teacher("clip", size=224, settings=["output=pooled"]).shape == (512,)
    assert new_teacher("clip", size=224, settings=["output=text"]).shape == (512,)
    siglip = ["model=ViT-B-16-SigLIP", "pretrained=webli", "output=pooled"]
    assert new_teacher("clip", size=224, settings=siglip).shape == (768,)


def test_a_tag_decides_which_gelu_and_which_colours() -> None:
    from ingest.networks.open_clip_models import clip_model

    assert clip_model("ViT-B-16", "openai").config["quick_gelu"]
    assert not clip_model("ViT-B-16", "laion2b_s34b_b88k").config["quick_gelu"]
    assert clip_model("ViT-B-16-SigLIP", "webli").mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["model=ViT-B-166"], r"no model 'ViT-B-166'\. Did you mean 'ViT-B-16'"),
        (["pretrained=openay"], r"no weights 'openay' of 'ViT-B-16'; it has openai, .* Did you mean 'openai'"),
        (["model=coca_ViT-B-32", "pretrained=laion2b_s13b_b90k"], "CoCa"),
        (["model=ViT-B-16-SigLIP", "pretrained=webli"], "--teacher dino --set model=vit_base_patch16_siglip_224"),
        (["model=RN50"], "convolutional network"),
        (["model=RN50", "output=pooled", "input_size=256"], "pictures of 224 pixels only"),
        (
            ["model=ViT-B-16-SigLIP", "pretrained=webli", "output=text"],
            "by 'timm/ViT-B-16-SigLIP', which is not supported",
        ),
        (["output=pooled", "input_size=100"], "not a multiple of the patches of 16"),
        (["layer=12"], "has 12 layers, 0 to 11"),
        (["model=/nowhere/open_clip_config.json"], "There is no configuration"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _ = new_teacher("clip", size=224, settings=settings).shape


def test_a_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open_clip_config.json"
    for content in ("{", "[]", '{"embed_dim": 3}', json.dumps({**CONFIG, "vision_cfg": {"depth": 3}})):
        path.write_text(content)
        with pytest.raises(SettingsError, match="does not describe a model of open_clip"):
            _ = new_teacher("clip", size=64, settings=[f"model={path}", "pretrained=./x.pt"]).shape


def test_weights_of_another_model_are_refused(network: Any, folder: Path, tmp_path: Path) -> None:
    foreign = new_teacher("clip", size=224, settings=[f"pretrained={folder / 'open_clip_model.safetensors'}"])
    with pytest.raises(SettingsError, match=r"not those of the tower of pictures of 'ViT-B-16'\. .* of another shape"):
        foreign.load(CPU)
    state = {name: value for name, value in network.state_dict().items() if name != "ln_final.bias"}
    torch.save(state, tmp_path / "lacking.pt")
    lacking = teacher(folder, "output=text", f"pretrained={tmp_path / 'lacking.pt'}")
    with pytest.raises(SettingsError, match=r"1 missing: ln_final\.bias"):
        lacking.load(CPU)


def test_a_checkpoint_of_a_training_run_gives_the_same_targets_and_digest(
    network: Any, folder: Path, tmp_path: Path
) -> None:
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "epoch_3.pt")
    asked, plain = teacher(folder, f"pretrained={tmp_path / 'epoch_3.pt'}"), teacher(folder)
    assert asked.weights_sha256 == plain.weights_sha256
    assert torch.equal(asked.load(CPU)(some_pictures()), plain.load(CPU)(some_pictures()))


def test_one_weight_changes_the_digest(network: Any, folder: Path, tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["visual.proj"][3, 3] += 1e-6
    save_file(state, tmp_path / "changed.safetensors")
    changed = teacher(folder, f"pretrained={tmp_path / 'changed.safetensors'}")
    assert changed.weights_sha256 != teacher(folder).weights_sha256


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "epoch_1.pt", "epoch_1.pth"])
def test_code_in_a_checkpoint_is_refused_and_not_executed(
    name: str, network: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    witness = tmp_path / "executed"
    asked = teacher(folder, f"pretrained={tmp_path / name}")
    hostile_pickle(tmp_path / name, witness, network.state_dict())
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        asked.load(CPU)
    plain_pickle(tmp_path / name, witness)
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        _ = asked.weights_sha256
    assert not witness.exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # OpenAI's own files are of this kind
def test_torchscript_is_refused(folder: Path, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "ViT-B-16.pt")
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        teacher(folder, f"pretrained={tmp_path / 'ViT-B-16.pt'}").load(CPU)


def test_tags_are_downloaded_and_it_is_said_when_they_cannot_be(
    network: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download is replaced by a function; what is downloaded is read as any file is."""

    def offline(tag: dict[str, Any]) -> str:
        raise FileNotFoundError("Failed to download file")

    monkeypatch.setattr("open_clip.download_pretrained", offline)
    with pytest.raises(SettingsError, match=r"'openai' of 'ViT-B-16' cannot be downloaded: .* Give pretrained=FILE"):
        new_teacher("clip", size=224, settings=[]).load(CPU)
    monkeypatch.setattr("open_clip.download_pretrained", lambda tag: str(folder / "open_clip_model.safetensors"))
    assert new_teacher("clip", size=224, settings=[]).weights_sha256 == teacher(folder).weights_sha256


def test_a_teacher_is_the_same_after_its_settings_were_written_down(folder: Path) -> None:
    asked = teacher(folder, "projected=true", "layer=1")
    again = build_teacher("clip", teacher_settings(asked))
    assert again == asked
    assert torch.equal(again.load(CPU)(some_pictures()), asked.load(CPU)(some_pictures()))
