"""Rendering: from the stored bytes of a field and a view to one row of a batch, one renderer for each modality."""

from pipelines.modalities import Clip, Decoded, Image, LogMel, Points, Raster, Text, Waveform
from pipelines.rendering.clip import ClipRenderer
from pipelines.rendering.image import ImageRenderer
from pipelines.rendering.logmel import LogMelRenderer
from pipelines.rendering.points import PointsRenderer
from pipelines.rendering.raster import RasterRenderer
from pipelines.rendering.renderer import Renderer
from pipelines.rendering.text import TextRenderer
from pipelines.rendering.waveform import WaveformRenderer
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError, did_you_mean

__all__ = ["Renderer", "renderer_for"]


def renderer_for(modality: Decoded, dataset: Dataset) -> Renderer:
    """Return what renders a modality of a dataset.

    Raises:
        MissingFieldError: The dataset does not hold the field of the modality.
        SettingsError: The field is of another kind than the modality decodes, or cannot fit it.
    """
    _require_held(dataset, modality)
    match modality:
        case Image():
            return ImageRenderer(modality=modality)
        case Raster():
            return RasterRenderer(modality=modality)
        case Clip():
            return ClipRenderer(modality=modality)
        case LogMel():
            return LogMelRenderer.of(modality, dataset)
        case Waveform():
            return WaveformRenderer(modality=modality)
        case Points():
            return PointsRenderer(modality=modality)
        case Text():
            return TextRenderer(modality=modality)


def _require_held(dataset: Dataset, modality: Decoded) -> None:
    held, field = dataset.manifest.kinds, modality.field
    if field not in held:
        raise MissingFieldError(
            f"A modality reads the field '{field}', but {dataset.root} holds only {', '.join(held)}."
            f"{did_you_mean(field, held)}"
        )
    if held[field] not in modality.kinds:
        raise SettingsError(
            f"The modality '{modality.name}' decodes the kind '{' or '.join(modality.kinds)}', but the '{field}' of "
            f"{dataset.root} is of the kind '{held[field]}'. Choose another modality for it."
        )
