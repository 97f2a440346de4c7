"""Names of the official M3AE (young-geng/m3ae_public), whose flax parameters are paths joined by "/"; kernels are (in, out)."""

import re

from torch import Tensor

from trainers.models.multimodal_autoencoder import MultimodalAutoencoderNetwork
from trainers.published.naming import Naming

SINGLE = {
    "cls_token": "encoder.class_token",
    "encoder_image_type_embedding": "encoder.stems.image.places.kind_token",
    "encoder_text_type_embedding": "encoder.stems.text.places.kind_token",
    "decoder_image_type_embedding": "decoder.places.image.kind_token",
    "decoder_text_type_embedding": "decoder.places.text.kind_token",
    "image_mask_embedding": "decoder.fillers.0.token",
    "text_mask_embedding": "decoder.fillers.1.token",
    "text_embedding/embedding": "encoder.stems.text.embed.weight",
}
LAYERS = {
    "image_embedding": "encoder.stems.image.embed",
    "encoder/LayerNorm_0": "encoder.norm",
    "decoder/LayerNorm_0": "decoder.norm",
    "decoder_input_projection": "decoder.embed",
    "decoder_image_output/Dense_0": "heads.pixels",
    "decoder_text_output/Dense_0": "heads.text",
}
IN_BLOCK = {
    "Attention_0/Dense_0": "attention.qkv",
    "Attention_0/Dense_1": "attention.projection",
    "LayerNorm_0": "norm1",
    "LayerNorm_1": "norm2",
    "TransformerMLP_0/fc1": "perceptron.expand",
    "TransformerMLP_0/fc2": "perceptron.contract",
}
KINDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def our_name(official: str) -> str | None:
    """Return our name of an official weight; None if we have no such weight."""
    name = official.removeprefix("params/")
    if name in SINGLE:
        return SINGLE[name]
    layer, _, kind = name.rpartition("/")
    if kind not in KINDS:
        return None
    if match := re.fullmatch(r"(encoder|decoder)/Block_(\d+)/(.+)", layer):
        side, block, inside = match.groups()
        return f"{side}.blocks.{block}.{IN_BLOCK[inside]}.{KINDS[kind]}" if inside in IN_BLOCK else None
    return f"{LAYERS[layer]}.{KINDS[kind]}" if layer in LAYERS else None


def our_layout(official: str, value: Tensor) -> Tensor:
    """Return a weight as ours is laid out: linear weights are (out, in)."""
    return value.T if official.endswith("/kernel") else value


def naming(network: MultimodalAutoencoderNetwork) -> Naming:
    """Return what the official code calls the weights of a network; its tables are not in its files."""
    return Naming(our_name=our_name, our_layout=our_layout)
