"""Views: the exact geometry of one look at a picture, as data.

A view is decided here, purely, from `(seed, key, k)` and the size of the picture; `transforms.image.render` carries it
out. Stored targets name their views by number, and whoever reads them replays the same view on the pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, runtime_checkable

from pipelines.randomness import generator_for, hash_key
from shards.errors import SettingsError, did_you_mean

CROP_ATTEMPTS = 10
ALIGNMENT_PX = 2
"""Rows or columns by which two looks at one scene may miss the same shape: sizes are rounded when they are made smaller."""


def is_aligned(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two sizes, height and width in pixels, can be those of the same scene, edge to edge."""
    return size == other or abs(size[0] * other[1] - size[1] * other[0]) <= ALIGNMENT_PX * max(*size, *other)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A crop box in pixels of the source, whether it is mirrored left to right, and the side it is resized to."""

    top: int
    left: int
    height: int
    width: int
    flip: bool
    size: int


@runtime_checkable
class ViewPolicy(Protocol):
    """Decides the k-th view of a sample."""

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        ...

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of the sample `key`, whose picture has `height` x `width` pixels; a pure function."""
        ...


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """Crop a random share of the area at a random aspect ratio, resize to a square, mirror now and then.

    As torchvision's transform of that name (Szegedy et al., arXiv:1409.4842): ten attempts at an area uniform in
    `scale` and an aspect ratio (width / height) log-uniform in `ratio`, then the largest centred crop whose aspect
    ratio is allowed. All draws come from `(seed, key, k)`.

    Raises:
        SettingsError: A range is empty or not positive, or the probability is not one.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip_probability: float

    def __post_init__(self) -> None:
        _require_size(self.size)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise SettingsError(f"Crops of {self.scale} of the area were asked for; give 0 < smallest <= largest <= 1.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise SettingsError(f"Aspect ratios of {self.ratio} were asked for; give 0 < smallest <= largest.")
        if not 0 <= self.flip_probability <= 1:
            raise SettingsError(f"A flip probability of {self.flip_probability} was asked for; give 0 to 1.")

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of a sample; see ViewPolicy."""
        draws = generator_for(seed=seed, epoch=k, key=key, purpose="view").random(3 + 2 * CROP_ATTEMPTS).tolist()
        flip_draw, top_draw, left_draw, *shape_draws = draws
        fitting = self._first_fitting(shape_draws, height=height, width=width)
        box_height, box_width = fitting or self._largest_allowed(height=height, width=width)
        spare_height, spare_width = height - box_height, width - box_width
        return View(
            top=int(top_draw * (spare_height + 1)) if fitting else spare_height // 2,
            left=int(left_draw * (spare_width + 1)) if fitting else spare_width // 2,
            height=box_height,
            width=box_width,
            flip=flip_draw < self.flip_probability,
            size=self.size,
        )

    def _first_fitting(self, draws: Sequence[float], *, height: int, width: int) -> tuple[int, int] | None:
        """Return height and width of the first drawn box that fits into the picture, if any does."""
        least, most = math.log(self.ratio[0]), math.log(self.ratio[1])
        for area_draw, ratio_draw in zip(draws[::2], draws[1::2], strict=True):
            area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * area_draw)
            aspect = math.exp(least + (most - least) * ratio_draw)
            box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < box_height <= height and 0 < box_width <= width:
                return box_height, box_width
        return None

    def _largest_allowed(self, *, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the largest box whose aspect ratio is allowed."""
        if width < height * self.ratio[0]:
            return max(1, round(width / self.ratio[0])), width
        if width > height * self.ratio[1]:
            return height, max(1, round(height * self.ratio[1]))
        return height, width


@dataclass(frozen=True, kw_only=True)
class CenterCrop:
    """The largest centred square, resized: the short side becomes `size` and the long side loses both ends equally."""

    size: int

    def __post_init__(self) -> None:
        _require_size(self.size)

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return the one view of a sample, whatever `k` and `seed`; see ViewPolicy."""
        side = min(height, width)
        return View(
            top=(height - side) // 2, left=(width - side) // 2, height=side, width=side, flip=False, size=self.size
        )


POLICIES: Mapping[str, type[RandomResizedCrop | CenterCrop]] = {
    policy.__name__: policy for policy in (CenterCrop, RandomResizedCrop)
}
"""The policies that stored targets may name."""


@runtime_checkable
class ViewSource(Protocol):
    """Chooses which view of a sample an epoch looks at."""

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        ...

    def choose(self, key: str, *, epoch: int, seed: int, height: int, width: int) -> tuple[int, View]:
        """Return the number of the view and the view; a pure function. `seed` is the seed of the stream."""
        ...


@dataclass(frozen=True, kw_only=True)
class FreshViews:
    """A new view of every sample in every epoch: epoch e looks at view e of `policy` under the seed of the stream."""

    policy: ViewPolicy

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        return self.policy.size

    def choose(self, key: str, *, epoch: int, seed: int, height: int, width: int) -> tuple[int, View]:
        """Return the number of the view and the view; see ViewSource."""
        return epoch, self.policy.view(key, epoch, height=height, width=width, seed=seed)


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """The named views of stored targets: views 0 .. count-1 of `policy` under the set's own `seed`.

    Raises:
        SettingsError: The set is empty.
    """

    policy: RandomResizedCrop | CenterCrop
    count: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SettingsError(f"A set of {self.count} views was asked for; it needs at least one.")

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        return self.policy.size

    def view(self, key: str, k: int, *, height: int, width: int) -> View:
        """Return view `k` of the sample `key`, whose picture has `height` x `width` pixels; a pure function.

        Raises:
            IndexError: There is no such view in the set.
        """
        if not 0 <= k < self.count:
            raise IndexError(f"View {k} of sample '{key}' was asked for; the set has views 0..{self.count - 1}.")
        return self.policy.view(key, k, height=height, width=width, seed=self.seed)

    def choose(self, key: str, *, epoch: int, seed: int, height: int, width: int) -> tuple[int, View]:
        """Return a view drawn from the set by `(seed, epoch, key)`, and its number; see ViewSource."""
        k = hash_key(seed, epoch, "choose view", key) % self.count
        return k, self.view(key, k, height=height, width=width)

    def to_json(self) -> dict[str, Any]:
        """Return the set as JSON values: policy, parameters, count, seed."""
        parameters = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.policy).items()
        }
        return {
            "policy": type(self.policy).__name__,
            "parameters": parameters,
            "count": self.count,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ViewSet":
        """Return the set that `to_json` wrote.

        Raises:
            SettingsError: The policy, or one of its parameters, is unknown or missing.
        """
        _require_names("view set", data, ("policy", "parameters", "count", "seed"))
        name = data["policy"]
        if name not in POLICIES:
            raise SettingsError(
                f"The view set names the policy '{name}', which this version does not know; it knows "
                f"{', '.join(POLICIES)}.{did_you_mean(name, POLICIES)}"
            )
        policy: type[Any] = POLICIES[name]
        _require_names(f"view policy {name}", data["parameters"], [field.name for field in fields(policy)])
        parameters = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data["parameters"].items()
        }
        return ViewSet(policy=policy(**parameters), count=data["count"], seed=data["seed"])


def _require_size(size: int) -> None:
    if size < 1:
        raise SettingsError(f"Views of {size} pixels were asked for; the side has to be at least 1.")


def _require_names(what: str, found: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Raise SettingsError unless `found` has exactly the names `wanted`."""
    for name in found:
        if name not in wanted:
            raise SettingsError(f"The {what} has an unknown entry '{name}'.{did_you_mean(name, wanted)}")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise SettingsError(f"The {what} lacks {', '.join(missing)}; it has {', '.join(found) or 'nothing'}.")
