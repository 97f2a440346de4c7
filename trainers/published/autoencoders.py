"""Names of the official autoencoders of one modality, which do not collide.

Pictures: facebookresearch/mae, which timm and most of its followers use too; clips: MCG-NJU/VideoMAE; sound:
facebookresearch/AudioMAE, with either decoder; clouds: Pang-Yatian/Point-MAE.
"""

import re
from collections.abc import Mapping

from einops import rearrange
from torch import Tensor
from torch.nn.functional import pad

from trainers.models.group_autoencoder import GroupAutoencoderNetwork
from trainers.models.masked_autoencoder import MaskedAutoencoderNetwork
from trainers.nn.positions import FixedPositions
from trainers.published.naming import Naming, name_in_block

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
IN_BLOCK = {
    "attn.q_bias": "attention.qkv.query_bias",
    "attn.v_bias": "attention.qkv.value_bias",
    "attn.tau": "attention.temperature",
    "attn.meta_mlp.fc1.weight": "attention.offsets.expand.weight",
    "attn.meta_mlp.fc1.bias": "attention.offsets.expand.bias",
    "attn.meta_mlp.fc2.weight": "attention.offsets.contract.weight",
    "attn.meta_mlp.fc2.bias": "attention.offsets.contract.bias",
}
"""What blocks have that those of timm have not."""


def our_name(official: str) -> str | None:
    """Return our name of an official weight; None if we have no such weight, as for position tables and classifiers."""
    if official in TOKENS:
        return TOKENS[official]
    if match := re.fullmatch(
        r"(?:encoder\.|MAE_encoder\.blocks\.|(decoder[_.]|MAE_decoder\.))?blocks\.(\d+)\.(.+)", official
    ):
        side, block, inside = match.groups()
        known = name_in_block(inside) or IN_BLOCK.get(inside)
        return known and f"{'decoder' if side else 'encoder'}.blocks.{block}.{known}"
    if match := re.fullmatch(r"(.+)\.(\d\.\w+)", official):
        stack, layer = match.groups()
        if stack in LAYERS:
            return f"{LAYERS[stack]}.{layer}"
    prefix, _, kind = official.rpartition(".")
    return f"{PREFIXES[prefix]}.{kind}" if prefix in PREFIXES and kind in ("weight", "bias") else None


def our_layout(official: str, value: Tensor) -> Tensor:
    """Return a weight as ours is laid out: convolutions of single places are linear layers.

    That of the patch embedding is flattened into the order of our patches: (time,) row, column, channel.
    """
    if official.endswith("patch_embed.proj.weight") and value.ndim > 2:
        return rearrange(value, "width channel ... -> width ... channel").flatten(1)
    return value.squeeze(-1) if value.ndim == 3 and our_name(official) not in TOKENS.values() else value


def _table(network: MaskedAutoencoderNetwork | GroupAutoencoderNetwork, side: str) -> Mapping[str, Tensor]:
    """Return the position table of the encoder or the decoder; its first row belongs to the class token."""
    part = getattr(getattr(network, side), "positions", None)
    if not isinstance(part, FixedPositions):
        return {}
    official = {"encoder": "pos_embed", "decoder": "decoder_pos_embed"}[side]
    return {official: pad(part.table, (0, 0, 1, 0))[None]}


def naming(network: MaskedAutoencoderNetwork | GroupAutoencoderNetwork) -> Naming:
    """Return what the official codes call the weights of a network."""
    return Naming(
        our_name=our_name,
        our_layout=our_layout,
        tables=_table(network, "encoder"),
        decoder_tables=_table(network, "decoder"),
    )
