"""One sample on its way into a batch: read, with the views by which it is going to be rendered."""

from dataclasses import dataclass

from pipelines.views import Extent, View
from shards.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A sample and how it is looked at.

    Args:
        sample: What was read of it.
        numbers: For every look, the number of its view.
        views: For every look, the view, and the extent that it was chosen for.
    """

    sample: Sample
    numbers: tuple[int, ...]
    views: tuple[tuple[Extent, View], ...]
