"""Names of the official 4M (apple/ml-4m): embeddings by modality, whose names there may end in `@` and a side in pixels."""

import re
from collections.abc import Container, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from pipelines.modalities import Image
from trainers.models.token_transformer import TokenTransformerNetwork
from trainers.nn.positions import position_table, sincos_1d
from trainers.nn.token_encoder import is_sequence
from trainers.published.naming import Naming

MODALITIES = {"rgb": "image", "tok_rgb": "tokens", "caption": "text"}
"""Our names of modalities that have other ones there."""
OFFICIAL = {ours: official for official, ours in MODALITIES.items()}
USUAL_SIDE = 224
STORED_POSITIONS = 512
"""Rows of the tables of sequences, however long these may be."""

SINGLE = {
    "mask_token": "decoder.mask_token",
    "encoder_norm.weight": "encoder.norm.weight",
    "decoder_norm.weight": "decoder.norm.weight",
    "decoder_proj_context.weight": "decoder.embed.weight",
    "decoder_proj_context.bias": "decoder.embed.bias",
}
IN_BLOCK = {
    "encoder": {
        "norm1": "norm1",
        "attn.qkv": "attention.qkv",
        "attn.proj": "attention.projection",
        "norm2": "norm2",
    },
    "decoder": {
        "norm1": "norm1",
        "self_attn.qkv": "attention.qkv",
        "self_attn.proj": "attention.projection",
        "query_norm": "norm2",
        "context_norm": "context_norm",
        "cross_attn.q": "cross_attention.query",
        "cross_attn.kv": "cross_attention.key_value",
        "cross_attn.proj": "cross_attention.projection",
        "norm2": "norm3",
    },
}
IN_PERCEPTRON = {"mlp.fc1": "perceptron.gate", "mlp.fc2": "perceptron.contract", "mlp.fc3": "perceptron.expand"}
IN_STEM = {
    "mod_emb": "places.kind_token",
    "proj.weight": "embed.weight",
    "emb_proj.weight": "embed.weight",
    "emb_proj.bias": "embed.bias",
    "token_emb.weight": "embed.weight",
}
VECTORS_OF_IDS = ("token_emb.weight", "to_logits.weight")
"""The decoder's vectors of ids stand in a file twice."""


def our_modality(official: str) -> str:
    """Return our name of a modality."""
    name = official.split("@")[0]
    return MODALITIES.get(name, name)


def our_name(official: str, *, targets: Mapping[str, str]) -> str | None:
    """Return our name of an official weight; None if we have no such weight. `targets` are named by modality."""
    if official in SINGLE:
        return SINGLE[official]
    if match := re.fullmatch(r"(encoder|decoder)_embeddings\.([^.]+)\.(.+)", official):
        side, modality, inside = match[1], our_modality(match[2]), match[3]
        if side == "decoder" and inside in VECTORS_OF_IDS:
            return f"decoder.heads.{targets[modality]}.weight" if modality in targets else None
        # Vectors of modalities stand in a file twice, too.
        return f"encoder.stems.{modality}.{IN_STEM[inside]}" if inside in IN_STEM else None
    if match := re.fullmatch(r"(encoder|decoder)\.(\d+)\.(.+)\.weight", official):
        side, number, layer = match.groups()
        ours = (IN_BLOCK[side] | IN_PERCEPTRON).get(layer)
        return ours and f"{side}.blocks.{number}.{ours}.weight"
    return None


def is_idle(official: str, *, read: Container[str], written: Container[str]) -> bool:
    """Tell weights of modalities that the network does not read, or does not write."""
    match = re.fullmatch(r"(encoder|decoder)_embeddings\.([^.]+)\..+", official)
    return match is not None and our_modality(match[2]) not in (read if match[1] == "encoder" else written)


def our_layout(official: str, value: Tensor) -> Tensor:
    """Return a weight as ours is laid out, which is as it is."""
    return value


def tables(network: TokenTransformerNetwork, *, of: str) -> dict[str, Tensor]:
    """Return what the "encoder" or the "decoder" stores without learning it: positions, and biases of norms, which are zero."""
    part = network.get_submodule(of)
    names = network.modalities if of == "encoder" else network.decoder.targets
    blocks, norms = part.get_submodule("blocks"), [layer for layer in IN_BLOCK[of] if "norm" in layer]
    biases = [
        f"{of}_norm",
        *(f"{of}.{number}.{layer}" for number in range(len(list(blocks.children()))) for layer in norms),
    ]
    zeros = {f"{name}.bias": torch.zeros(network.width) for name in biases}
    return zeros | dict(_positions(network, names, of=of))


def _positions(network: TokenTransformerNetwork, names: Iterable[str], *, of: str) -> Iterable[tuple[str, Tensor]]:
    """Yield the tables of modalities by their official names, in which the side is that of the picture."""
    side = next((one.size for one in network.modalities.values() if isinstance(one, Image)), USUAL_SIDE)
    for name in names:
        modality, official = network.modalities[name], OFFICIAL.get(name, name)
        if is_sequence(modality):
            places = torch.arange(STORED_POSITIONS, dtype=torch.float64)
            yield f"{of}_embeddings.{official}.pos_emb", sincos_1d(places, width=network.width)[None]
        else:
            table = position_table(modality, width=network.width, first="row")
            yield f"{of}_embeddings.{official}@{side}.pos_emb", table[None]


def naming(network: TokenTransformerNetwork) -> Naming:
    """Return what the official code calls the weights of a network."""
    return Naming(
        our_name=partial(our_name, targets=network.decoder.targets),
        our_layout=our_layout,
        tables=tables(network, of="encoder"),
        decoder_tables=tables(network, of="decoder"),
        is_idle=partial(is_idle, read=network.modalities, written=network.decoder.targets),
    )
