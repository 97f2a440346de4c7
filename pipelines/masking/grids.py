"""The grid of tokens that a masking needs, or a clear refusal."""

from pipelines.modalities import Modality
from shards.errors import SettingsError


def plane_of(modality: Modality, *, masking: str) -> tuple[int, int]:
    """Return rows and columns; raises SettingsError if the tokens of the modality are in no 2-D grid."""
    if len(modality.grid) != 2:
        raise SettingsError(_refusal(modality, masking, "rows and columns of tokens"))
    return modality.grid[0], modality.grid[1]


def box_of(modality: Modality, *, masking: str) -> tuple[int, int, int]:
    """Return times, rows and columns; raises SettingsError if the tokens of the modality are in no 3-D grid."""
    if len(modality.grid) != 3:
        raise SettingsError(_refusal(modality, masking, "times, rows and columns of tokens, as a clip has"))
    return modality.grid[0], modality.grid[1], modality.grid[2]


def _refusal(modality: Modality, masking: str, wanted: str) -> str:
    return (
        f"{masking} needs {wanted}, but '{modality.name}' has a grid of {modality.grid}; choose another masking for it."
    )
