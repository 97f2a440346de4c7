"""Weights published by others: their names and layouts, translated into ours.

Names are those of the official masked autoencoder code of pictures (facebookresearch/mae), which timm and most of its
followers use too, of that of clips (MCG-NJU/VideoMAE), and of clouds (Pang-Yatian/Point-MAE); they do not collide. Position
tables are fixed and not weights here: where a file has them, they are compared with ours and dropped.
"""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad

from shards.errors import MaskloomError
from trainers.nn.network import Network

BLOCK_NAMES = {"norm1": "norm1", "norm2": "norm2", "attn.qkv": "attention.qkv", "attn.proj": "attention.projection"}
BLOCK_NAMES |= {"mlp.fc1": "perceptron.expand", "mlp.fc2": "perceptron.contract"}
BIAS_NAMES = {"attn.q_bias": "attention.qkv.query_bias", "attn.v_bias": "attention.qkv.value_bias"}
PREFIXES = {
    "patch_embed.proj": "encoder.embed",
    "norm": "encoder.norm",
    "decoder_embed": "decoder.embed",
    "decoder_norm": "decoder.norm",
    "decoder_pred": "heads.patches",
    "encoder.patch_embed.proj": "encoder.embed",
    "encoder.norm": "encoder.norm",
    "encoder_to_decoder": "decoder.embed",
    "decoder.norm": "decoder.norm",
    "decoder.head": "heads.patches",
    "MAE_encoder.norm": "encoder.norm",
    "MAE_decoder.norm": "decoder.norm",
    "increase_dim.0": "heads.points",
}
LAYERS = {
    "MAE_encoder.encoder.first_conv": "embed.first",
    "MAE_encoder.encoder.second_conv": "embed.second",
    "MAE_encoder.pos_embed": "encoder.position",
    "decoder_pos_embed": "decoder.position",
}
"""Stacks of numbered layers."""
TOKENS = {"cls_token": "encoder.class_token", "mask_token": "decoder.mask_token"}
POSITIONS = {"pos_embed": "encoder", "decoder_pos_embed": "decoder"}
TABLE_TOLERANCE = 1e-3
"""Wide enough for tables stored in half precision; another order of the axes differs by about one."""
DECODER_BEGINNINGS = ("decoder_", "decoder.", "encoder_to_decoder.", "MAE_decoder.", "increase_dim.")
SHOWN_NAMES = 8

Part = Literal["network", "encoder"]


class WeightsError(MaskloomError):
    """A file of weights cannot be read safely, or does not hold the weights of this network."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a `.safetensors` file, or of a `.pth` file that holds one.

    In the latter it stands alone, or under "model" or "base_model".
    Nothing in the file is executed. Raises WeightsError if there is no such file, or no state dict in it.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = loaded.get("model", loaded.get("base_model", loaded)) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict, neither alone nor under 'model'")
    return {name.removeprefix("module."): value for name, value in state.items()}


def import_weights(state: Mapping[str, Tensor], network: Network, *, part: Part = "network") -> None:
    """Load weights with official names into a network, or into its encoder alone.

    Raises WeightsError that lists what is missing, what is unexpected and what has another shape; the network is then
    unchanged. With `part="encoder"` the state may hold a decoder or none; it is not read.
    """
    wanted = {name: value for name, value in network.state_dict().items() if _belongs(name, part=part)}
    official = {name: value for name, value in state.items() if part == "network" or not _is_decoder(name)}
    _check_positions(official, network)
    translated = {
        ours: our_layout(name, value) for name, value in official.items() if (ours := our_name(name)) is not None
    }
    foreign = [name for name in official if name not in POSITIONS and our_name(name) not in wanted]
    _check_names(wanted, translated, foreign=foreign)
    network.load_state_dict(translated, strict=part == "network")


def our_name(official: str) -> str | None:
    """Return our name of an official weight; None if we have no such weight, as for position tables and classifiers."""
    if official in TOKENS:
        return TOKENS[official]
    if match := re.fullmatch(
        r"(?:encoder\.|MAE_encoder\.blocks\.|(decoder[_.]|MAE_decoder\.))?blocks\.(\d+)\.(.+)", official
    ):
        side, block, inner = match.groups()
        known = _name_in_block(inner)
        return known and f"{'decoder' if side else 'encoder'}.blocks.{block}.{known}"
    if match := re.fullmatch(r"(.+)\.(\d\.\w+)", official):
        stack, layer = match.groups()
        if stack in LAYERS:
            return f"{LAYERS[stack]}.{layer}"
    prefix, _, kind = official.rpartition(".")
    return f"{PREFIXES[prefix]}.{kind}" if prefix in PREFIXES and kind in ("weight", "bias") else None


def _name_in_block(official: str) -> str | None:
    inner, _, kind = official.rpartition(".")
    if inner in BLOCK_NAMES and kind in ("weight", "bias"):
        return f"{BLOCK_NAMES[inner]}.{kind}"
    return BIAS_NAMES.get(official)


def our_layout(official: str, value: Tensor) -> Tensor:
    """Return a weight as ours is laid out: convolutions of single places are linear layers.

    That of the patch embedding is flattened into the order of our patches: (time,) row, column, channel.
    """
    if official.endswith("patch_embed.proj.weight") and value.ndim > 2:
        return rearrange(value, "width channel ... -> width ... channel").flatten(1)
    return value.squeeze(-1) if value.ndim == 3 and our_name(official) not in TOKENS.values() else value


def _belongs(name: str, *, part: Part) -> bool:
    return part == "network" or name.startswith(("encoder.", "embed."))


def _is_decoder(official: str) -> bool:
    return official.startswith(DECODER_BEGINNINGS) or official == "mask_token"


def _check_positions(official: Mapping[str, Tensor], network: Network) -> None:
    """Raise WeightsError unless the position tables are the fixed ones; their first row belongs to the class token."""
    tables = dict(network.named_buffers())
    for name, side in POSITIONS.items():
        if name not in official or f"{side}.positions.table" not in tables:
            continue
        table = pad(tables[f"{side}.positions.table"], (0, 0, 1, 0))[None].cpu()
        found = official[name].float().cpu()
        if found.shape != table.shape:
            raise WeightsError(
                f"'{name}' has shape {tuple(found.shape)}, this network needs {tuple(table.shape)}: these weights are "
                "for another size of picture, patch or model; choose it with --size and --set modalities.image.size=N"
            )
        difference = (found - table).abs().max().item()
        if difference > TABLE_TOLERANCE:
            raise WeightsError(
                f"'{name}' differs from the fixed sine-cosine table by up to {difference:.2g}: these positions were "
                "learned or ordered otherwise, and this network would read them wrongly"
            )


def _check_names(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], *, foreign: Iterable[str]) -> None:
    """Raise WeightsError that says everything that does not fit at once."""
    missing = [name for name in wanted if name not in found]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, needed {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    complaints = [
        f"{len(names)} {what}: {', '.join(names[:SHOWN_NAMES])}{', ...' if len(names) > SHOWN_NAMES else ''}"
        for what, names in (("missing", missing), ("unexpected", list(foreign)), ("of another shape", shapes))
        if names
    ]
    if missing and all(not name.startswith("encoder.") for name in missing) and len(missing) < len(wanted):
        complaints.append("the file holds an encoder without its decoder; import the encoder alone (--part encoder)")
    if complaints:
        raise WeightsError(f"these weights do not fit the network. {'; '.join(complaints)}")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error


def _read_torch(path: Path) -> object:
    try:
        # Training scripts store their arguments beside the weights; a namespace is plain data.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"{path} cannot be read as plain weights: {error}. Nothing in it was executed; convert it to safetensors "
            "where you trust it."
        ) from error
