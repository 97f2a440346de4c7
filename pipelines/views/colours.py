"""How a view changes colours."""

from dataclasses import dataclass, replace

from pipelines.randomness import generator_for
from pipelines.views.view import ColourFactors, View, ViewPolicy
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Crop as `crop` does, and draw by how much brightness, contrast and saturation change.

    Each factor is uniform in [1 - x, 1 + x], but not below 0, where x is the value given for it. They are applied in this
    order; torchvision's transform of that name, of which this is a part, shuffles it. 0.4 for all three is what BEiT and
    data2vec use (Bao et al., arXiv:2106.08254, appendix; Baevski et al., arXiv:2202.03555, official code).

    Raises:
        SettingsError: A value is negative.
    """

    crop: ViewPolicy
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        if min(self.brightness, self.contrast, self.saturation) < 0:
            raise SettingsError(
                f"Colours were asked to change by up to {self.brightness}, {self.contrast} and {self.saturation}; give "
                "0 or more."
            )

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering."""
        return self.crop.size

    def view(self, key: str, k: int, *, height: int, width: int, seed: int) -> View:
        """Return view `k` of a sample; see ViewPolicy. The crop is the one that `crop` draws alone."""
        view = self.crop.view(key, k, height=height, width=width, seed=seed)
        draws = generator_for(seed=seed, epoch=k, key=key, purpose="colours").random(3).tolist()
        colours = ColourFactors(
            brightness=_factor(draws[0], self.brightness),
            contrast=_factor(draws[1], self.contrast),
            saturation=_factor(draws[2], self.saturation),
        )
        return replace(view, colours=colours)


def _factor(draw: float, most: float) -> float:
    least = max(0.0, 1 - most)
    return least + (1 + most - least) * draw
