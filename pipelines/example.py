"""One decoded sample, before it is rendered into a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from pipelines.views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The key of a sample, its decoded fields, and the view of it that is to be rendered.

    `arrays` maps a field to what its codec decodes to: `image` to uint8 [height, width, 3].
    """

    key: str
    arrays: Mapping[str, npt.NDArray[Any]]
    view: View
