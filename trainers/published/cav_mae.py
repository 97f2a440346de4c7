"""Names of the official CAV-MAE (YuanGongND/cav-mae): sound is `a`, pictures are `v`, both together `u`.

There, the tokens of sound and the values in their patches run by band, then time; here, by time, then band.
"""

import re
from collections.abc import Mapping

from einops import rearrange
from torch import Tensor

from trainers.models.multimodal_autoencoder import MultimodalAutoencoderNetwork
from trainers.published.naming import Naming, name_in_block

SOUND, PICTURE = "logmel", "video"
SIDES = {"a": SOUND, "v": PICTURE}
TARGETS = {"a": "sound", "v": "picture"}
SINGLE = {
    "norm": "encoder.norm",
    "decoder_embed": "decoder.embed",
    "decoder_norm": "decoder.norm",
    "mask_token": "decoder.fillers.0.token",
}
LAST = {
    "patch_embed_{}.proj": "encoder.stems.{}.embed",
    "modality_{}": "encoder.stems.{}.places.kind_token",
    "norm_{}": "encoder.stream_norms.{}",
    "decoder_modality_{}": "decoder.places.{}.kind_token",
}
WITH_SIDE = {
    official.format(letter): ours.format(name) for official, ours in LAST.items() for letter, name in SIDES.items()
}
HEADS = {f"decoder_pred_{letter}": f"heads.{target}" for letter, target in TARGETS.items()}
LAYERS = SINGLE | WITH_SIDE | HEADS
STREAM_NORM = re.compile(r"norm([12])_([av])\.(weight|bias)")


def our_name(official: str) -> str | None:
    """Return our name of an official weight; None if we have no such weight."""
    name = official.removeprefix("module.")
    if name in LAYERS:
        return LAYERS[name]
    if match := re.fullmatch(r"(blocks_([avu])|decoder_blocks)\.(\d+)\.(.+)", name):
        _, side, block, inside = match.groups()
        known = _of_stream(inside) if side == "u" else None
        known = known or name_in_block(inside)
        place = f"encoder.own.{SIDES[side]}" if side in SIDES else "encoder.blocks" if side else "decoder.blocks"
        return known and f"{place}.{block}.{known}"
    layer, _, kind = name.rpartition(".")
    return f"{LAYERS[layer]}.{kind}" if layer in LAYERS and kind in ("weight", "bias") else None


def _of_stream(inside: str) -> str | None:
    match = STREAM_NORM.fullmatch(inside)
    return match and f"stream_norms.{SIDES[match[2]]}.{int(match[1]) - 1}.{match[3]}"


def our_layout(official: str, value: Tensor) -> Tensor:
    """Return a weight as ours is laid out: a convolution of patches is a linear layer, patches of sound are turned over."""
    name = official.removeprefix("module.")
    if name == "patch_embed_a.proj.weight":
        return rearrange(value, "width channel bin frame -> width (frame bin channel)")
    if name == "patch_embed_v.proj.weight":
        return rearrange(value, "width channel row column -> width (row column channel)")
    if name.startswith("decoder_pred_a."):
        side = round(len(value) ** 0.5)
        return rearrange(value, "(bin frame) ... -> (frame bin) ...", bin=side)
    return value


def tables(network: MultimodalAutoencoderNetwork, *, of: str) -> Mapping[str, Tensor]:
    """Return the position tables of the "encoder" or the "decoder" in the order of the official code."""
    found: dict[str, Tensor] = {}
    for letter, name in SIDES.items():
        is_encoder = of == "encoder"
        places = f"encoder.stems.{name}.places" if is_encoder else f"decoder.places.{name}"
        table = network.get_buffer(f"{places}.positions")
        if name == SOUND:
            table = rearrange(table, "(time band) width -> (band time) width", band=network.modalities[SOUND].grid[1])
        official = f"{'' if is_encoder else 'decoder_'}pos_embed_{letter}"
        found |= {official: table[None], f"module.{official}": table[None]}
    return found


def is_idle(official: str) -> bool:
    """Tell the norms that every block has and only the joint ones use."""
    name = official.removeprefix("module.")
    return bool(re.fullmatch(r"(blocks_[av]|decoder_blocks)\.\d+\.norm[12]_[av]\.(weight|bias)", name))


def naming(network: MultimodalAutoencoderNetwork) -> Naming:
    """Return what the official code calls the weights of a network."""
    return Naming(
        our_name=our_name,
        our_layout=our_layout,
        tables=tables(network, of="encoder"),
        decoder_tables=tables(network, of="decoder"),
        is_idle=is_idle,
    )
