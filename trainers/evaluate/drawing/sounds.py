"""Sound: spectrograms, time from left to right, low tones at the bottom."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pipelines.inspect.colours import MAGMA, shade
from pipelines.modalities import LogMel
from pipelines.transforms.patches import unpatchify
from trainers.evaluate.drawing.patches import RESTORATIONS, Pictures, seen_and_imagined
from trainers.evaluate.drawing.pictures import enlarged, tiles_note
from trainers.evaluate.drawing.prediction import Prediction, Tiles
from trainers.nn.embed import patches_of

LOUDNESS = (-16.0, 4.0)
"""What the colours of log-mel features span."""
AXES_NOTE = "Time runs from left to right, low tones are at the bottom."


def spectrogram(features: Float[Tensor, "frames bins"]) -> UInt8[np.ndarray, "bins frames 3"]:
    """Return log-mel features as colours, dark where it is silent."""
    return shade(features.T.flip(0).numpy(), MAGMA, low=LOUDNESS[0], high=LOUDNESS[1])


@dataclass(frozen=True)
class SpectrogramCanvas:
    """Patches of a spectrogram as networks are shown them."""

    logmel: LogMel

    def draw(self, tokens: Float[Tensor, "batch tokens values"]) -> Pictures:
        """See Canvas."""
        normalised = unpatchify(tokens, self.logmel.patch, grid=self.logmel.grid)[:, 0]
        return np.stack([spectrogram(sample * self.logmel.spread + self.logmel.mean) for sample in normalised])

    def cover(self, tokens: Bool[Tensor, "batch tokens"]) -> Bool[np.ndarray, "batch height width"]:
        """See Canvas."""
        by_frame = enlarged(tokens, grid=self.logmel.grid, side=self.logmel.patch)
        return rearrange(by_frame, "batch frame bin -> batch bin frame")[:, ::-1]


def draw_sound(prediction: Prediction) -> Tiles:
    """Draw patches that are predicted of a spectrogram."""
    original, restoration = patches_of(prediction.modality, prediction.inputs), RESTORATIONS[type(prediction.target)]
    predicted = restoration.of(prediction.values, prediction.of_hidden(original))
    canvas = SpectrogramCanvas(prediction.modality)
    pictures = seen_and_imagined(prediction, canvas, original=original, predicted=predicted)
    return Tiles(pictures=pictures, stacked="below", note=tiles_note("below", "patches", AXES_NOTE, restoration.note))
