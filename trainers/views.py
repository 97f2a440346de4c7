"""View policies before the side of the picture is known; the modality of the recipe supplies it."""

from dataclasses import dataclass

from pipelines.views import RandomResizedCrop


@dataclass(frozen=True, kw_only=True)
class CropAndFlip:
    """A random crop of `scale` times the area and `ratio` width to height, resized, mirrored now and then.

    `scale` and `ratio` are (smallest, largest); `flip_probability` is between 0 and 1.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip_probability: float

    def policy(self, size: int) -> RandomResizedCrop:
        """Return the policy that makes pictures of `size` x `size` pixels."""
        return RandomResizedCrop(size=size, scale=self.scale, ratio=self.ratio, flip_probability=self.flip_probability)
