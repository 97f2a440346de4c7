"""Samples themselves as rows of values: what features have to beat."""

import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Clip, Image, LogMel, Modality, Points, Raster, Text
from pipelines.tokenizers.vq.groups import in_unit_sphere
from trainers.evaluate.features import Extractor
from trainers.nn.embed import standardise_raster

PIXEL_SIDE = 32
"""Raw pixels are compared at this side at most: more adds width, not knowledge."""
CELLS = 8
"""Cells along each axis into which the unit cube around a cloud is cut."""
COUNTS = 1024
"""Counts of words, and of classes that nobody counted: ids share a count where there are more."""


def raw_name(modality: Modality) -> str:
    """What the values of `raw_extractor` are called."""
    match modality:
        case Image() | Clip():
            return "raw pixels"
        case Text():
            return "bag of words"
        case _:
            return "raw values"


def raw_extractor(modality: Modality) -> Extractor:
    """The sample itself as a row of values.

    A picture, or the mean of the frames of a clip, of 32 x 32 pixels at most; the means of 32 x 32 parts of a spectrogram or of
    a standardised raster; the share of each class in one of ids; how many points of a cloud are in each of 8 x 8 x 8 cells; how
    often each word is in a text.
    """

    def raw(batch: Batch) -> Tensor:
        inputs = batch.inputs[modality.name]
        match modality:
            case Clip():
                return shrunk_pixels(inputs.float().mean(dim=2))
            case LogMel():
                return mean_parts(inputs)
            case Points():
                return cell_shares(inputs[..., :3])
            case Text():
                return word_counts(inputs, padding_id=modality.tokenizer.padding_id)
            case Raster(is_ids=True):
                return class_shares(inputs, classes=modality.classes or COUNTS)
            case Raster():
                return mean_parts(standardise_raster(inputs).nan_to_num(0.0).mean(dim=1))
            case _:
                return shrunk_pixels(inputs)

    return raw


def shrunk_pixels(images: Shaped[Tensor, "batch channels side side"]) -> Float[Tensor, "batch values"]:
    """Pictures of pixels from 0 to 255, at `PIXEL_SIDE` at most, as values from 0 to 1 (never outside), row-major."""
    values = images.float() / 255
    if images.shape[-1] > PIXEL_SIDE:
        size = (PIXEL_SIDE, PIXEL_SIDE)
        values = torch.nn.functional.interpolate(values, size=size, mode="bilinear", antialias=True)
    return rearrange(values, "batch channels row column -> batch (channels row column)")


def mean_parts(features: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch values"]:
    """The means of parts of a grid of numbers, `PIXEL_SIDE` along both axes at most, row by row."""
    rows, columns = features.shape[1:]
    size = (min(rows, PIXEL_SIDE), min(columns, PIXEL_SIDE))
    return torch.nn.functional.adaptive_avg_pool2d(features.float()[:, None], size).flatten(1)


def cell_shares(clouds: Float[Tensor, "batch count 3"]) -> Float[Tensor, "batch cells"]:
    """The share of the points of a cloud, scaled to radius 1, that lie in each cell of the cube around it."""
    cells = ((in_unit_sphere(clouds.float()) + 1) / 2 * CELLS).long().clamp(0, CELLS - 1)
    numbers = (cells[..., 0] * CELLS + cells[..., 1]) * CELLS + cells[..., 2]
    return torch.nn.functional.one_hot(numbers, CELLS**3).float().mean(dim=1)


def class_shares(ids: Int[Tensor, "batch channels side side"], *, classes: int) -> Float[Tensor, "batch classes"]:
    """The share of the pixels of each class, by the remainder of the id."""
    return torch.stack([torch.bincount(one.flatten() % classes, minlength=classes) for one in ids]) / ids[0].numel()


def word_counts(ids: Int[Tensor, "batch tokens"], *, padding_id: int) -> Float[Tensor, "batch counts"]:
    """How often each id is in a text, by the remainder of the id; padding is not counted."""
    counts = torch.zeros(len(ids), COUNTS, device=ids.device)
    return counts.scatter_add(1, ids % COUNTS, (ids != padding_id).float())
