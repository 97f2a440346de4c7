"""A trained encoder as others read it: weights named and laid out as in timm, in a safetensors file that says what it is.

The header of the file holds, under "timm", what timm writes into its `config.json`: the architecture, the sizes in which it
differs, and the mean and deviation of the pixels. `maskloom targets --teacher dino --set weights=FILE` reads it, and so does

    header = json.loads(safetensors.safe_open(FILE, "pt").metadata()["timm"])
    model = timm.create_model(header["architecture"], num_classes=0, **header["model_args"])
    model.load_state_dict(safetensors.torch.load_file(FILE))
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import pad

from pipelines.modalities import Image, Modality
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from shards.errors import SettingsError
from shards.storage import replace_file
from trainers.nn.blocks import Attention, Block, Perceptron
from trainers.nn.filled_encoder import FilledEncoder
from trainers.nn.network import Network
from trainers.nn.placing import LearnedPositions
from trainers.nn.visible_encoder import VisibleEncoder
from trainers.published.naming import BLOCK_NAMES

ARCHITECTURE = "vit_base_patch16_224"
"""The plain vision transformer of timm; all its sizes are overridden."""
_GAINS = {"added1.0.gain": "ls1.gamma", "added2.0.gain": "ls2.gamma"}


@dataclass(frozen=True, kw_only=True)
class ExportedEncoder:
    """An encoder in the layout of timm: its weights, and what timm has to be told to build it."""

    state: Mapping[str, Tensor]
    model_args: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write the file; raises StorageError if it cannot be written."""
        header = {
            "architecture": ARCHITECTURE,
            "model_args": dict(self.model_args),
            "pretrained_cfg": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        }
        tensors = {name: value.detach().contiguous().cpu() for name, value in self.state.items()}
        replace_file(path.parent, path, save(tensors, metadata={"format": "pt", "timm": json.dumps(header)}))


@torch.no_grad()
def export_encoder(network: Network, modalities: Sequence[Modality]) -> ExportedEncoder:
    """Return the encoder of a network that looks at pictures alone.

    Raises:
        SettingsError: The network has no encoder that timm could run: it looks at something else, its positions are relative,
            it lacks the class token or biases, or it does not end in a norm over single tokens.
    """
    image = modalities[0]
    if len(modalities) != 1 or not isinstance(image, Image):
        raise SettingsError("Only encoders of pictures have a layout in timm; this run looks at something else.")
    encoder = getattr(network, "encoder", None)
    if (
        not isinstance(encoder, VisibleEncoder | FilledEncoder)
        or not isinstance(encoder.norm, nn.LayerNorm)
        or not _is_plain(encoder)
    ):
        raise SettingsError(
            f"{type(network).__name__} has no encoder that timm could run: only vision transformers of patches are "
            "exported that have a class token, biases for query, key and value, and end in a layer norm."
        )
    blocks = [block for block in encoder.blocks if isinstance(block, Block)]
    state = {
        "cls_token": encoder.get_parameter("class_token"),
        "pos_embed": _positions(encoder),
        "patch_embed.proj.weight": _convolution(encoder.embed.weight, image),
        "patch_embed.proj.bias": encoder.embed.bias,
        "norm.weight": encoder.norm.weight,
        "norm.bias": encoder.norm.bias,
        **{name: value for place, block in enumerate(blocks) for name, value in _block(place, block).items()},
    }
    return ExportedEncoder(state=state, model_args=_arguments(encoder, blocks, image))


def _is_plain(encoder: VisibleEncoder | FilledEncoder) -> bool:
    """Whether an encoder has a class token, and its first block, like all of them, every bias."""
    return encoder.class_token is not None and "attention.qkv.bias" in encoder.blocks[0].state_dict()


def _block(place: int, block: Block) -> dict[str, Tensor]:
    ours = block.state_dict()
    named = {
        f"{theirs}.{kind}": ours[f"{name}.{kind}"]
        for theirs, name in BLOCK_NAMES.items()
        for kind in ("weight", "bias")
    }
    gains = {theirs: ours[name] for name, theirs in _GAINS.items() if name in ours}
    return {f"blocks.{place}.{name}": value for name, value in (named | gains).items()}


def _positions(encoder: VisibleEncoder | FilledEncoder) -> Tensor:
    """Return the positions [1, 1 + tokens, width] of the class token and of all places."""
    if isinstance(encoder, VisibleEncoder):
        return pad(encoder.positions(), (0, 0, 1, 0))[None]
    if not isinstance(encoder.places, LearnedPositions):
        raise SettingsError(
            "This encoder tells places by biases of its attention, which timm's plain transformer has not."
        )
    return encoder.places.positions


def _convolution(weight: Tensor, image: Image) -> Tensor:
    """Return the embedding of patches, whose values run by row, column, channel, as timm convolves with it."""
    return rearrange(
        weight,
        "width (row column channel) -> width channel row column",
        row=image.patch,
        column=image.patch,
    )


def _arguments(encoder: VisibleEncoder | FilledEncoder, blocks: list[Block], image: Image) -> dict[str, Any]:
    first = blocks[0]
    attention, perceptron = first.attention, first.perceptron
    assert isinstance(attention, Attention), type(attention)
    assert isinstance(perceptron, Perceptron), type(perceptron)
    width = encoder.embed.out_features
    gains = {"init_values": 1.0} if "added1.0.gain" in first.state_dict() else {}
    return {
        "img_size": image.size,
        "patch_size": image.patch,
        "embed_dim": width,
        "depth": len(blocks),
        "num_heads": attention.heads,
        "mlp_ratio": perceptron.expand.out_features / width,
        **gains,
    }
