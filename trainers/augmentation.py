"""What is done with the inputs of a batch in training alone, on the device that they are on."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipelines.randomness import Draws
from pipelines.transforms.clouds import scale_and_translate
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ScaleAndTranslate:
    """Stretch each axis of a cloud by a factor uniform in `scale`, then shift it by up to `shift` either way.

    Raises:
        SettingsError: The range is empty or not positive, or the shift is below 0.
    """

    scale: tuple[float, float]
    shift: float

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] or self.shift < 0:
            raise SettingsError(
                f"Clouds were to be stretched by {self.scale} and shifted by {self.shift}; give 0 < smallest <= largest, "
                "and a shift of at least 0."
            )

    def __call__(
        self, clouds: Float[Tensor, "batch points columns"], draws: Draws
    ) -> Float[Tensor, "batch points columns"]:
        """Return the changed clouds."""
        return scale_and_translate(clouds, draws, scale=self.scale, shift=self.shift)
