"""Names of the official MultiMAE (EPFL-VILAB/MultiMAE): adapters by task, which are our modalities and targets."""

import re
from collections.abc import Mapping
from functools import partial

from einops import rearrange
from torch import Tensor

from pipelines.modalities import Raster
from trainers.models.multimodal_autoencoder import MultimodalAutoencoderNetwork
from trainers.nn.joint_decoders import TargetDecodersNetwork
from trainers.published.naming import Naming, name_in_block

MODALITIES = {"rgb": "image", "depth": "depth", "semseg": "segmentation"}
TARGETS = {"rgb": "pixels", "depth": "distances", "semseg": "classes", "norm_rgb": "patches"}
IN_DECODER = {
    "mask_token": "filler.token",
    "decoder.q": "attention.query",
    "decoder.kv": "attention.key_value",
    "decoder.proj": "attention.projection",
    "context_norm": "context_norm",
    "query_norm": "question_norm",
    "out_norm": "answer_norm",
    "mlp.fc1": "perceptron.expand",
    "mlp.fc2": "perceptron.contract",
    "proj_context": "embed",
}


def our_name(official: str) -> str | None:
    """Return our name of an official weight; None if we have no such weight."""
    if official == "global_tokens":
        return "encoder.class_token"
    if match := re.fullmatch(r"encoder\.(\d+)\.(.+)", official):
        known = name_in_block(match[2])
        return known and f"encoder.blocks.{match[1]}.{known}"
    if match := re.fullmatch(r"input_adapters\.(\w+)\.(proj|class_emb)\.(\w+)", official):
        layer = {"proj": "embed", "class_emb": "classes"}[match[2]]
        return f"encoder.stems.{MODALITIES[match[1]]}.{layer}.{match[3]}" if match[1] in MODALITIES else None
    if (match := re.fullmatch(r"output_adapters\.(\w+)\.(.+)", official)) and match[1] in TARGETS:
        return _in_adapter(TARGETS[match[1]], match[2])
    return None


def _in_adapter(target: str, inside: str) -> str | None:
    decoder = f"decoder.decoders.{target}"
    if inside in IN_DECODER:
        return f"{decoder}.{IN_DECODER[inside]}"
    if match := re.fullmatch(r"task_embeddings\.(\w+)", inside):
        return f"{decoder}.places.{MODALITIES[match[1]]}.kind_token" if match[1] in MODALITIES else None
    if match := re.fullmatch(r"decoder_transformer\.(\d+)\.(.+)", inside):
        known = name_in_block(match[2])
        return known and f"{decoder}.blocks.{match[1]}.{known}"
    layer, _, kind = inside.rpartition(".")
    if layer == "out_proj":
        return f"heads.{target}.{kind}"
    return f"{decoder}.{IN_DECODER[layer]}.{kind}" if layer in IN_DECODER else None


def our_layout(official: str, value: Tensor, *, classes: int) -> Tensor:
    """Return a weight as ours is laid out: convolutions of patches are linear layers; predictions run channel last."""
    if official.startswith("input_adapters.") and value.ndim == 4:
        return rearrange(value, "width channel row column -> width (row column channel)")
    if match := re.fullmatch(r"output_adapters\.(\w+)\.out_proj\.\w+", official):
        channels = {"depth": 1, "semseg": classes}.get(match[1], 3)
        return rearrange(value, "(channel pixel) ... -> (pixel channel) ...", channel=channels)
    return value


def tables(network: MultimodalAutoencoderNetwork) -> Mapping[str, Tensor]:
    """Return the position tables of the encoder as the official code stores them: [1, width, rows, columns]."""
    return {
        f"input_adapters.{task}.pos_emb": _as_map(network, name, f"encoder.stems.{name}")
        for task, name in MODALITIES.items()
        if name in network.modalities
    }


def decoder_tables(network: MultimodalAutoencoderNetwork) -> Mapping[str, Tensor]:
    """Return those of the decoders, likewise."""
    assert isinstance(network.decoder, TargetDecodersNetwork)
    return {
        f"output_adapters.{task}.pos_emb": _as_map(
            network, MODALITIES[task.removeprefix("norm_")], f"decoder.decoders.{target}"
        )
        for task, target in TARGETS.items()
        if target in network.decoder.decoders
    }


def _as_map(network: MultimodalAutoencoderNetwork, name: str, part: str) -> Tensor:
    """Return the positions of a modality in a part of the network as rows and columns."""
    in_decoder = part.startswith("decoder.")
    table = network.get_buffer(f"{part}.places.{name}.positions" if in_decoder else f"{part}.places.positions")
    return rearrange(table, "(row column) width -> 1 width row column", row=network.modalities[name].grid[0])


def naming(network: MultimodalAutoencoderNetwork) -> Naming:
    """Return what the official code calls the weights of a network."""
    segments = network.modalities.get("segmentation")
    layout = partial(our_layout, classes=segments.classes if isinstance(segments, Raster) else 1)
    return Naming(our_name=our_name, our_layout=layout, tables=tables(network), decoder_tables=decoder_tables(network))
