"""How samples are looked at, before sides and lengths are known; the modalities of the recipe supply them."""

from dataclasses import dataclass, replace

from pipelines.views import (
    CenterCrop,
    CentreClip,
    ColourJitter,
    FreshViews,
    MultiScaleCrop,
    RandomClip,
    RandomFrames,
    RandomResizedCrop,
    RandomSpan,
    UniformFrames,
    WholeSpan,
)


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
class WithColours:
    """Looks at pictures as `crop` does, and changes their colours; evaluated are those that are stored.

    Factors of brightness, contrast and saturation are uniform within the given distance from 1, and not below 0.
    """

    crop: CropAndFlip
    brightness: float
    contrast: float
    saturation: float

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return random crops of `size` x `size` pixels with changed colours."""
        policy = self.crop.fresh(size, frames).policy
        assert policy is not None
        return FreshViews(
            policy=ColourJitter(
                crop=policy, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation
            )
        )

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the largest centred squares."""
        return self.crop.still(size, frames)


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
class CroppedClip:
    """Frames `stride` stored frames apart from a random first one, all looked at alike, as `crop` looks at a picture.

    Evaluated is the middle of both.
    """

    stride: int
    crop: CropAndFlip

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `maskloom targets` that make such clips."""
        return (*self.crop.options, "--stride", str(self.stride))

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return random clips of `frames` frames of `size` x `size` pixels."""
        return replace(self.crop.fresh(size, frames), time=RandomClip(count=frames, stride=self.stride))

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the largest centred squares of the middle of the clip."""
        return replace(self.crop.still(size, frames), time=CentreClip(count=frames, stride=self.stride))


@dataclass(frozen=True, kw_only=True)
class AsStored:
    """All sound there is, all points, the whole text: for samples without pictures, which are not cropped."""

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return views that only draw what is left to chance: subsets of points, one caption of several."""
        return FreshViews(policy=None)

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the same views."""
        return FreshViews(policy=None)


@dataclass(frozen=True, kw_only=True)
class SoundSpan:
    """`seconds` of sound from anywhere in it, for samples without pictures; evaluated is what it begins with."""

    seconds: float

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return random spans."""
        return FreshViews(policy=None, time=RandomSpan(seconds=self.seconds))

    def still(self, size: int, frames: int) -> FreshViews:
        """Return all of the sound, of which modalities take the beginning."""
        return FreshViews(policy=None)


@dataclass(frozen=True, kw_only=True)
class FrameAndSound:
    """Random frames from equal parts of a clip, one of each, looked at as `crop` looks at a picture, with all of the sound.

    Evaluated are the frames in the middle of the parts.
    """

    crop: CropAndFlip

    def fresh(self, size: int, frames: int) -> FreshViews:
        """Return `frames` random frames of `size` x `size` pixels."""
        return replace(self.crop.fresh(size, frames), time=WholeSpan(frames=RandomFrames(count=frames)))

    def still(self, size: int, frames: int) -> FreshViews:
        """Return the largest centred squares of the middle frames."""
        return replace(self.crop.still(size, frames), time=WholeSpan(frames=UniformFrames(count=frames)))
