"""Views: the exact geometry of one look at a sample, as data.

A view is decided here, purely, from `(seed, key, k)` and the extent of the sample; `pipelines.rendering` carries it out.
Stored targets name their views by number, and whoever reads them replays the same view on the pixels.

Where a view looks is up to a `ViewPolicy` (`crops`, `colours`), when is up to a `TimePolicy` (`moments`), and which of the
views of a sample an epoch looks at is up to a `ViewSource` (`sources`).
"""

from pipelines.views.colours import ColourJitter
from pipelines.views.crops import CenterCrop, MultiScaleCrop, RandomResizedCrop
from pipelines.views.moments import CentreClip, RandomClip, RandomFrames, RandomSpan, UniformFrames, WholeSpan
from pipelines.views.sources import FreshViews, NamedView, ViewSet, ViewSource
from pipelines.views.view import ColourFactors, Extent, Moment, TimePolicy, View, ViewPolicy, is_aligned

__all__ = [
    "CenterCrop",
    "CentreClip",
    "ColourFactors",
    "ColourJitter",
    "Extent",
    "FreshViews",
    "Moment",
    "MultiScaleCrop",
    "NamedView",
    "RandomClip",
    "RandomFrames",
    "RandomResizedCrop",
    "RandomSpan",
    "TimePolicy",
    "UniformFrames",
    "View",
    "ViewPolicy",
    "ViewSet",
    "ViewSource",
    "WholeSpan",
    "is_aligned",
]
