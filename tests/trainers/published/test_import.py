"""`maskloom import` of weights with the published names of every code, in every form that is taken, and what is refused."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.parity.golden import Golden
from trainers.adoption import adopt_weights
from trainers.checkpoint import latest
from trainers.nn.network import Network
from trainers.published.choice import naming_of
from trainers.published.naming import WeightsError
from trainers.published.reading import read_checkpoint


@dataclass(frozen=True)
class Published:
    """A fixture with weights of a published code, the recipe that takes them, and the settings of its small size."""

    fixture: str
    recipe: str
    settings: tuple[str, ...]


def decoder(*, width: int, depth: int, heads: int) -> tuple[str, ...]:
    return tuple(
        f"model.decoder.{name}={value}" for name, value in (("width", width), ("depth", depth), ("heads", heads))
    )


def encoder(*, width: int, depth: int, heads: int) -> tuple[str, ...]:
    return tuple(f"model.{name}={value}" for name, value in (("width", width), ("depth", depth), ("heads", heads)))


ALL = (
    Published(
        "mae",
        "mae",
        (
            "modalities.image.size=32",
            "modalities.image.patch=8",
            *encoder(width=32, depth=2, heads=4),
            *decoder(width=24, depth=2, heads=3),
        ),
    ),
    Published(
        "videomae",
        "video_mae",
        (
            "modalities.video.size=32",
            *encoder(width=24, depth=2, heads=3),
            *decoder(width=16, depth=2, heads=4),
        ),
    ),
    Published(
        "audiomae",
        "audio_mae_global",
        ("model.positions=transposed", *encoder(width=24, depth=2, heads=3), *decoder(width=16, depth=2, heads=4)),
    ),
    Published(
        "audiomae_swin",
        "audio_mae",
        ("model.positions=transposed", *encoder(width=16, depth=2, heads=4), *decoder(width=32, depth=16, heads=16)),
    ),
    Published(
        "cavmae",
        "cav_mae",
        (
            "modalities.video.size=32",
            "modalities.logmel.frames=64",
            "model.width=24",
            "model.own_depth=11",
            "model.heads=3",
            *decoder(width=16, depth=2, heads=4),
        ),
    ),
    Published(
        "multimae",
        "multi_mae",
        (
            *(
                f"modalities.{name}.{side}"
                for name in ("image", "depth", "segmentation")
                for side in ("size=32", "patch=8")
            ),
            *encoder(width=32, depth=2, heads=4),
            *decoder(width=16, depth=2, heads=4),
        ),
    ),
)


def weights_of(fixture: str) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in Golden.open(fixture).under("weights/").items()}


@pytest.mark.parametrize(
    ("published", "suffix"),
    [
        *((published, ".safetensors") for published in ALL),
        *((ALL[4], suffix) for suffix in (".pth", ".npz")),
    ],
    ids=lambda value: getattr(value, "fixture", value),
)
def test_published_names_are_taken_in_every_form(published: Published, suffix: str, tmp_path: Path) -> None:
    path, state = tmp_path / f"weights{suffix}", weights_of(published.fixture)
    match suffix:
        case ".safetensors":
            save_file(state, path)
        case ".pth":
            torch.save({"model": state, "epoch": 3}, path)
        case _:
            np.savez(path, **{name: value.numpy() for name, value in state.items()})
    run = adopt_weights(
        published.recipe, path, tmp_path / "run", size="base", settings=published.settings, part="network"
    )
    checkpoint = latest(run.checkpoints)
    assert checkpoint is not None
    network = run.card().rebuild(typed=published.recipe).network(seed=1)
    names = {name_of(published.recipe, network)(official.removeprefix("module.")) for official in state}
    assert names - {None} == set(checkpoint.model)


def name_of(recipe: str, network: Network) -> Callable[[str], str | None]:
    return naming_of(recipe, network).our_name


def test_a_flax_pickle_is_refused_unopened_with_advice(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "m3ae_base.pkl"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(WeightsError, match=r"numpy\.savez.*takes weights\.npz"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_an_archive_of_objects_is_refused_unrun(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError, match="no archive of plain arrays") as refused:
        read_checkpoint(path)
    assert "allow_pickle" not in str(refused.value)


def test_an_encoder_is_taken_whatever_the_decoder_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(weights_of("cavmae"), path)
    narrow = tuple(setting for setting in ALL[4].settings if "decoder" not in setting)
    run = adopt_weights("cav_mae", path, tmp_path / "run", size="tiny", settings=narrow, part="encoder")
    checkpoint = latest(run.checkpoints)
    assert checkpoint is not None
    own = checkpoint.model["encoder.blocks.0.stream_norms.logmel.0.weight"]
    assert torch.equal(own, weights_of("cavmae")["module.blocks_u.0.norm1_a.weight"])


def test_a_weight_that_is_missing_is_named(tmp_path: Path) -> None:
    path, state = tmp_path / "weights.safetensors", weights_of("multimae")
    del state["output_adapters.depth.mask_token"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"1 missing: decoder\.decoders\.distances\.filler\.token"):
        adopt_weights("multi_mae", path, tmp_path / "run", size="base", settings=ALL[5].settings, part="network")
