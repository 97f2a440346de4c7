"""Depth and segmentations as teachers, on small checkpoints of torchvision and transformers with seeded weights."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate
from torchvision import models

from ingest.networks.resizing import Preparation
from ingest.teachers import Teacher, new_teacher
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU, hostile_pickle, some_pictures

LRASPP = "lraspp_mobilenet_v3_large"
SMALL: dict[str, Any] = {
    "hidden_sizes": [8, 16, 16, 16],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 16,
}
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def segmenter() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.get_model(LRASPP, weights=None, weights_backbone=None, num_classes=5).eval()


@pytest.fixture(scope="module")
def weights(segmenter: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchvision") / "weights.pth"
    torch.save(segmenter.state_dict(), path)
    return path


def torchvision_teacher(weights: Path, *settings: str) -> Teacher:
    return new_teacher("dense", size=64, settings=[f"model=torchvision:{LRASPP}", f"weights={weights}", *settings])


def shown(
    side: int = 64, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD
) -> torch.Tensor:
    return Preparation(size=side, mean=mean, deviation=std)(some_pictures())


@pytest.mark.parametrize("stride", [1, 4])
def test_segments_are_the_classes_of_the_largest_scores(stride: int, segmenter: Any, weights: Path) -> None:
    asked = torchvision_teacher(weights, f"stride={stride}")
    side = 64 // stride
    with torch.inference_mode():
        wanted = interpolate(segmenter(shown())["out"], (side, side), mode="bilinear").argmax(dim=1)
    compute = asked.load(CPU)
    found = compute(some_pictures())
    assert found.dtype == torch.int64
    assert found.shape[1:] == asked.shape == (side, side)
    assert asked.vocabulary == 5
    assert torch.equal(found, wanted)
    assert torch.equal(compute(some_pictures()[1:2])[0], found[1])


def test_published_segmentations_are_known_without_their_weights() -> None:
    asked = new_teacher("dense", size=224, settings=["stride=2"])
    assert asked.vocabulary == 21
    assert asked.shape == (112, 112)
    assert "mean (0.485, 0.456, 0.406)" in asked.preprocessing


def test_code_in_weights_is_refused_and_not_executed(segmenter: Any, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    hostile = hostile_pickle(tmp_path / "weights.pth", witness, segmenter.state_dict())
    with pytest.raises(SettingsError, match="Nothing in it was executed"):
        torchvision_teacher(hostile).load(CPU)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["model=torchvision:deeplabv3_resnet5"], "Did you mean 'deeplabv3_resnet50'"),
        (["model=torchvision:fcn_resnet50", "output=depth"], "no networks for depth"),
        (["model=resnet50"], "torchvision:NAME or transformers:FOLDER"),
        (["stride=3"], "does not divide views of 64"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: list[str], complaint: str) -> None:
    asked = new_teacher("dense", size=64, settings=settings)
    with pytest.raises(SettingsError, match=complaint):
        _ = asked.shape, asked.vocabulary, asked.packages


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    other = new_teacher("dense", size=64, settings=["model=torchvision:fcn_resnet50", f"weights={weights}"])
    with pytest.raises(SettingsError, match="not those of torchvision's 'fcn_resnet50'"):
        other.load(CPU)


def test_models_of_transformers_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    asked = new_teacher("dense", size=64, settings=["model=transformers:someone/something"])
    with pytest.raises(SettingsError, match=r"pip install 'maskloom\[dense\]'"):
        _ = asked.vocabulary


@pytest.fixture(scope="module")
def depth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `save_pretrained` writes of a model and its image processor."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("depth")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.GLPNForDepthEstimation(transformers.GLPNConfig(**SMALL)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": HALF, "image_std": HALF}))
    return folder


def test_depth_is_what_transformers_says(depth_folder: Path) -> None:
    import transformers

    asked = new_teacher("dense", size=64, settings=[f"model=transformers:{depth_folder}", "output=depth", "stride=2"])
    network = transformers.AutoModelForDepthEstimation.from_pretrained(depth_folder).eval()
    with torch.inference_mode():
        depth = network(shown(mean=HALF, std=HALF)).predicted_depth
        wanted = interpolate(depth[:, None], (32, 32), mode="bilinear", antialias=True)[:, 0]
    found = asked.load(CPU)(some_pictures())
    assert found.dtype == torch.float32
    assert found.shape[1:] == asked.shape == (32, 32)
    assert asked.vocabulary is None
    assert torch.allclose(found, wanted, atol=1e-5)
    assert "mean (0.5, 0.5, 0.5)" in asked.preprocessing
    assert len(asked.weights_sha256 or "") == 64


def test_segments_of_transformers_are_ids(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**SMALL, num_labels=7)).save_pretrained(
        tmp_path
    )
    asked = new_teacher("dense", size=64, settings=[f"model=transformers:{tmp_path}", "normalisation=imagenet"])
    found = asked.load(CPU)(some_pictures())
    assert asked.vocabulary == 7
    assert found.dtype == torch.int64
    assert found.shape == (3, 64, 64)
    assert 0 <= found.min() <= found.max() < 7


def test_pickled_weights_and_code_of_transformers_are_refused(depth_folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    config = json.loads((depth_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    hostile_pickle(tmp_path / "pytorch_model.bin", witness, {})
    settings = [f"model=transformers:{tmp_path}", "output=depth", "normalisation=half"]
    with pytest.raises(SettingsError, match=r"cannot read .* safely"):
        new_teacher("dense", size=64, settings=settings).load(CPU)
    (tmp_path / "evil.py").write_text(f"open({str(witness)!r}, 'w')")
    code = {"AutoConfig": "evil.Config", "AutoModelForDepthEstimation": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": code}))
    with pytest.raises(SettingsError, match=r"cannot read .* safely"):
        new_teacher("dense", size=64, settings=settings).load(CPU)
    assert not witness.exists()
