"""JPEG files are decoded, cropped and resized where the batch is: by nvJPEG on a GPU, by libjpeg-turbo on a CPU.

Decoders differ: pixels may be a few levels away from those that the CPU path makes, so a target that was stored for pixels
of the CPU path belongs to these only that nearly. They are less strict, too: a file that ends too early may show grey.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from pipelines.batch import Batch
from pipelines.encoded import EncodedPicture, EncodedPictures
from pipelines.transforms.image import render_pixels
from shards.errors import CorruptShardError, Damage


def decoded(batch: Batch, device: torch.device) -> Batch:
    """Return a batch with the pictures that it carries encoded decoded on a device.

    Raises:
        CorruptShardError: A picture cannot be decoded; names its key.
    """
    if not batch.encoded:
        return batch
    inputs = {name: _rendered(pictures, device) for name, pictures in batch.encoded.items()}
    return replace(batch, inputs={**batch.inputs, **inputs}, encoded={})


def _rendered(encoded: EncodedPictures, device: torch.device) -> UInt8[Tensor, "batch 3 size size"]:
    side = encoded.modality.size
    rows = torch.zeros((len(encoded.pictures), 3, side, side), dtype=torch.uint8, device=device)
    present = encoded.present()
    for (row, picture), pixels in zip(present, _pixels([picture for _, picture in present], device), strict=True):
        rows[row] = render_pixels(pixels, picture.view)
    return rows


def _pixels(pictures: Sequence[EncodedPicture], device: torch.device) -> Sequence[UInt8[Tensor, "3 height width"]]:
    """Decode together, which is what nvJPEG is good at; or one by one to find the picture that fails."""
    try:
        found: list[Tensor] = decode_jpeg([_bytes(picture) for picture in pictures], ImageReadMode.RGB, device=device)
        return found
    except RuntimeError:
        return [_one(picture, device) for picture in pictures]


def _bytes(picture: EncodedPicture) -> UInt8[Tensor, " bytes"]:
    return torch.frombuffer(bytearray(picture.data), dtype=torch.uint8)


def _one(picture: EncodedPicture, device: torch.device) -> UInt8[Tensor, "3 height width"]:
    try:
        pixels: Tensor = decode_jpeg(_bytes(picture), ImageReadMode.RGB, device=device)
    except RuntimeError as error:
        raise CorruptShardError(
            f"The picture of sample '{picture.key}' cannot be decoded on {device}: {error}. Decode on the CPU to see whether "
            "the file or the decoder is to blame.",
            kind=Damage.DECODE,
            key=picture.key,
        ) from error
    return pixels
