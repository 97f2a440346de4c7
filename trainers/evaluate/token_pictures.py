"""Pictures of what a tokenizer does: what it was shown, what it gave back, and the ids in between as colours."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped, UInt8
from PIL import Image as Pillow
from torch import Tensor

from pipelines.inspect.colours import id_colours
from pipelines.inspect.targets.colours import FeatureColours
from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq import VqTokenizer
from pipelines.tokenizers.vq.groups import group_points
from trainers.evaluate.drawing.clouds import draw_points
from trainers.evaluate.drawing.ids import plane
from trainers.evaluate.drawing.pictures import as_picture
from trainers.evaluate.drawing.prediction import Tiles
from trainers.evaluate.drawing.rasters import coloured, scaled, span_of
from trainers.evaluate.drawing.sounds import spectrogram
from trainers.evaluate.tokens import Shown

SIDE = 128
"""Side of the tiles of what is no picture, in pixels."""
NOTE = "Left to right: original, what was given back, the ids of the tokens, each id in a colour of its own."
FEATURES_NOTE = "Features are shown by their three largest principal components, as red, green and blue. "

Picture = UInt8[np.ndarray, "_ _ 3"]
Rows = Shaped[Tensor, "batch ..."]


def draw_tokens(tokenizer: VqTokenizer, shown: Shown) -> Tiles:
    """Draw some samples; the tiles of a sample stand side by side."""
    modality = tokenizer.spec.modality
    if isinstance(modality, Points):
        return Tiles(pictures=_clouds(modality, shown), note=NOTE)
    if tokenizer.spec.gives == "features" or isinstance(modality, Features):
        pairs, note = _components(shown.wanted, shown.gave, grid=plane(tokenizer.grid)), FEATURES_NOTE + NOTE
    else:
        pairs, note = [_pair(modality, *rows) for rows in zip(shown.wanted.cpu(), shown.gave.cpu(), strict=True)], NOTE
    before = list(shown.inputs) if isinstance(modality, Image) and tokenizer.spec.gives == "features" else None
    rows = []
    for place, (pair, ids) in enumerate(zip(pairs, shown.ids.cpu(), strict=True)):
        picture = [as_picture(before[place].cpu())] if before else []
        rows.append(_squares([*picture, *pair, _id_map(ids, modality, grid=plane(tokenizer.grid))]))
    return Tiles(pictures=np.stack(rows), note=note)


def _pair(modality: Image | LogMel | Raster, wanted: Tensor, gave: Tensor) -> tuple[Picture, Picture]:
    """Return one sample before and after, on one scale of colours."""
    match modality:
        case Image():
            return as_picture(wanted), as_picture(gave)
        case LogMel():
            return spectrogram(wanted), spectrogram(gave)
        case Raster(is_ids=True):
            return coloured(wanted[0]), coloured(gave[0])
        case Raster():
            before, after = (torch.where(values[0] > 0, values[0], torch.nan) for values in (wanted, gave))
            span = span_of(before)
            return scaled(before, span), scaled(after, span)


def _id_map(ids: Int[Tensor, " tokens"], modality: object, *, grid: tuple[int, int]) -> Picture:
    """Return one square for each token, where it is in the picture."""
    placed = rearrange(ids, "(row column) -> row column", row=grid[0])
    return coloured(placed.T.flip(0) if isinstance(modality, LogMel) else placed)


def _components(
    wanted: Float[Tensor, "batch tokens dim"], gave: Float[Tensor, "batch tokens dim"], *, grid: tuple[int, int]
) -> list[tuple[Picture, Picture]]:
    """Return directions of features in the three largest components of what was wanted of all samples."""
    before, after = (torch.nn.functional.normalize(values.float().cpu(), dim=-1) for values in (wanted, gave))
    colours = FeatureColours.fit(before.flatten(0, 1))
    placed = [
        rearrange(
            colours.of(values.flatten(0, 1))[:, :3],
            "(batch row column) rgb -> batch row column rgb",
            batch=len(values),
            row=grid[0],
        )
        for values in (before, after)
    ]
    return list(zip(*placed, strict=True))


def _squares(pictures: Sequence[Picture]) -> UInt8[np.ndarray, "tiles side side 3"]:
    """Return pictures as squares of one side: that of the first if it is a large square, else `SIDE`; nothing is smoothed."""
    height, width = pictures[0].shape[:2]
    side = height if height == width and height > SIDE // 4 else SIDE
    resized = (Pillow.fromarray(picture).resize((side, side), Pillow.Resampling.NEAREST) for picture in pictures)
    return np.stack([np.asarray(picture) for picture in resized])


def _clouds(modality: Points, shown: Shown) -> UInt8[np.ndarray, "samples tiles side side 3"]:
    """Return clouds before and after, and before in the colours of the ids; groups stand where they were."""
    centres = group_points(shown.inputs, modality).centres[:, :, None]
    colours = [np.repeat(id_colours(ids.numpy()), modality.neighbours, axis=0) for ids in shown.ids.cpu()]
    before, after = (
        rearrange(centres + points, "batch group point xyz -> batch (group point) xyz").cpu().numpy()
        for points in (shown.wanted, shown.gave)
    )
    rows = [
        [draw_points(one, side=SIDE), draw_points(other, side=SIDE), draw_points(one, side=SIDE, colours=own)]
        for one, other, own in zip(before, after, colours, strict=True)
    ]
    return np.stack([np.stack(row) for row in rows])
