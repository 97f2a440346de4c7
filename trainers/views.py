"""How samples are looked at, before sides and lengths are known; the modalities of the recipe supply them."""

from dataclasses import dataclass

from pipelines.views import CenterCrop, CentreClip, FreshViews, MultiScaleCrop, RandomClip, RandomResizedCrop


@dataclass(frozen=True, kw_only=True)
class CropAndFlip:
    """A random crop of `scale` times the area and `ratio` width to height, resized, mirrored now and then.

    `scale` and `ratio` are (smallest, largest); `flip_probability` is between 0 and 1. Evaluated is the centre.
    """

    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip_probability: float

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `maskloom targets` that make such crops."""
        return ("--scale", f"{self.scale[0]:g},{self.scale[1]:g}", "--flip", f"{self.flip_probability:g}")

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return random crops of `size` x `size` pixels."""
        crop = RandomResizedCrop(size=size, scale=self.scale, ratio=self.ratio, flip_probability=self.flip_probability)
        return FreshViews(policy=crop)

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the largest centred squares."""
        return FreshViews(policy=CenterCrop(size=size))


@dataclass(frozen=True, kw_only=True)
class ClipAndCrop:
    """Frames `stride` stored frames apart from a random first one, all cropped to one box; evaluated is the middle of both.

    The sides of the box are the short side of the frame times one of `scales` each, at most one place apart in `scales`;
    frames are mirrored together with `flip_probability`, between 0 and 1.
    """

    stride: int
    scales: tuple[float, ...]
    flip_probability: float

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return random clips of `frames` frames of `size` x `size` pixels."""
        crop = MultiScaleCrop(size=size, scales=self.scales, flip_probability=self.flip_probability)
        return FreshViews(policy=crop, time=RandomClip(count=frames, stride=self.stride))

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the largest centred squares of the middle of the clip."""
        return FreshViews(policy=CenterCrop(size=size), time=CentreClip(count=frames, stride=self.stride))


@dataclass(frozen=True, kw_only=True)
class AsStored:
    """All sound there is, all points, the whole text: for samples without pictures, which are not cropped."""

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return views that only draw what is left to chance: subsets of points, one caption of several."""
        return FreshViews(policy=None)

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the same views."""
        return FreshViews(policy=None)
