"""Tokenizers as files: the same ids after as before, and nothing but whole tokenizers is read."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipelines.tokenizers.vq import TokenizerFileError, VqTokenizer, load_tokenizer
from pipelines.tokenizers.vq.file import save_tokenizer
from tests.pipelines.tokenizers.vq.making import EVERY, IMAGE, SCALARS, make, rows

Change = Callable[[dict[str, torch.Tensor], dict[str, Any]], None]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    tokenizer = make().train()
    tokenizer(rows(IMAGE))
    save_tokenizer(tokenizer, tmp_path / "tokenizer.safetensors")
    return tmp_path / "tokenizer.safetensors"


def rewrite(path: Path, change: Change) -> None:
    """Write a file again with other tensors or another description, under the old digest."""
    with safe_open(path, framework="pt") as opened:
        metadata, tensors = dict(opened.metadata()), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    described = json.loads(metadata["maskloom.tokenizer"])
    change(tensors, described)
    save_file(tensors, path, {**metadata, "maskloom.tokenizer": json.dumps(described)})


@pytest.mark.parametrize("modality", EVERY, ids=lambda modality: f"{modality.name}")
def test_ids_are_the_same_after_a_round_trip(modality: Any, tmp_path: Path) -> None:
    tokenizer = make(modality).train()
    tokenizer(rows(modality))
    ids = tokenizer.eval().encode(rows(modality))
    digest = save_tokenizer(tokenizer, tmp_path / "tokenizer.safetensors")
    loaded = load_tokenizer(tmp_path)
    assert not loaded.training
    assert loaded.spec == tokenizer.spec
    assert loaded.weights_sha256 == digest
    assert torch.equal(loaded.encode(rows(modality)), ids)


def test_a_codebook_of_scalars_makes_the_trip(tmp_path: Path) -> None:
    tokenizer = make(IMAGE, SCALARS, gives="features").eval()
    save_tokenizer(tokenizer, tmp_path / "a.safetensors")
    assert torch.equal(load_tokenizer(tmp_path / "a.safetensors").encode(rows(IMAGE)), tokenizer.encode(rows(IMAGE)))


def test_equal_tokenizers_have_equal_digests(written: Path, tmp_path: Path) -> None:
    loaded = load_tokenizer(written)
    assert save_tokenizer(loaded, tmp_path / "again.safetensors") == loaded.weights_sha256


def test_the_use_of_the_codes_and_the_normalisation_stand_in_the_file(written: Path) -> None:
    with safe_open(written, framework="pt") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["maskloom.codebook_use"])["codes"] == 12
    assert "ImageNet" in metadata["maskloom.normalisation"]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_a_flipped_byte_is_noticed(written: Path, place: float) -> None:
    data = bytearray(written.read_bytes())
    data[int(len(data) * place)] ^= 1
    written.write_bytes(bytes(data))
    with pytest.raises(TokenizerFileError, match="damaged"):
        load_tokenizer(written)


def test_a_file_that_was_cut_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-100])
    with pytest.raises(TokenizerFileError, match="not a whole safetensors file"):
        load_tokenizer(written)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / "tokenizer.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(TokenizerFileError, match="not a whole safetensors file"):
        load_tokenizer(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_weights_of_something_else_are_no_tokenizer(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(TokenizerFileError, match="is no tokenizer of maskloom"):
        load_tokenizer(tmp_path / "model.safetensors")


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_a_missing_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(TokenizerFileError, match="There is no tokenizer"):
        load_tokenizer(tmp_path / path)


def _with(name: str, value: Any) -> Change:
    def change(tensors: dict[str, torch.Tensor], described: dict[str, Any]) -> None:
        described[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with("version", 2), "has version 2 of the format"),
        (_with("width", 32), "damaged"),
        (lambda tensors, described: tensors.pop("norm.weight"), "damaged"),
    ],
)
def test_what_was_changed_afterwards_is_refused(written: Path, change: Change, message: str) -> None:
    rewrite(written, change)
    with pytest.raises(TokenizerFileError, match=message):
        load_tokenizer(written)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with("width", 32), "does not hold the network that it describes"),
        (_with("width", 10**9), "give 1 to 16384"),
        (_with("width", "16"), "are no whole numbers"),
        (_with("heads", 3), "cannot be split"),
        (_with("gives", "money"), "gives 'money'"),
        (_with("more", 1), "has to have modality"),
        (_with("modality", {"kind": "Text"}), "none of Features, Image"),
        (_with("modality", {"kind": "Image", "size": 16}), "has a Image without"),
        (_with("codebook", {"kind": "FiniteScalars", "levels": [4, "3"]}), "whose levels is"),
        (lambda tensors, described: tensors.pop("norm.weight"), "norm.weight are missing"),
    ],
)
def test_a_description_that_cannot_be_is_refused_even_under_a_fitting_digest(
    written: Path, change: Change, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with safe_open(written, framework="pt") as opened:
        digest = opened.metadata()["maskloom.sha256"]
    monkeypatch.setattr("pipelines.tokenizers.vq.file._digest", lambda spec, tensors: digest)
    rewrite(written, change)
    with pytest.raises(TokenizerFileError, match=message):
        load_tokenizer(written)


def test_a_loaded_tokenizer_is_not_trained_by_accident(written: Path) -> None:
    loaded: VqTokenizer = load_tokenizer(written)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
