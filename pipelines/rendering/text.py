"""Captions."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from pipelines.modalities import Text
from pipelines.randomness import hash_key
from pipelines.rendering.renderer import Facts, Payload
from pipelines.transforms.errors import DecodeError
from pipelines.views import Extent, View


@dataclass(frozen=True, kw_only=True)
class TextRenderer:
    """Renders a caption as token ids, int64 [length]; of several, one to a line, the view's ticket draws one.

    What is too long loses its end, the mark of the end included. Real are the tokens that are no padding.
    """

    modality: Text

    @property
    def field(self) -> str:
        """The stored field."""
        return self.modality.field

    def extent(self, facts: Facts) -> Extent:
        """See Renderer. A text has no extent that views count in."""
        return Extent()

    def empty(self, rows: int) -> Int[Tensor, "{rows} length"]:
        """See Renderer."""
        return torch.full((rows, self.modality.length), self.modality.tokenizer.padding_id)

    def render(self, data: Payload, facts: Facts, view: View, extent: Extent) -> tuple[Int[Tensor, " length"], int]:
        """See Renderer."""
        assert isinstance(data, bytes), type(data)
        ids = self.modality.tokenizer.encode(_caption(data, view))[: self.modality.length]
        row = torch.full((self.modality.length,), self.modality.tokenizer.padding_id)
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return row, len(ids)


def _caption(data: bytes, view: View) -> str:
    """Return the caption that a view shows."""
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"The text of {len(data)} bytes is not UTF-8: {error.reason} at byte {error.start}."
        ) from error
    captions = [line for line in map(str.strip, lines) if line] or [""]
    return captions[hash_key(view.ticket, "caption") % len(captions)]
