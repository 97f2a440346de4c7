"""How many bytes of media the page may hold, shared fairly between the samples."""

from __future__ import annotations

import base64


class Allowance:
    """Deals `total` bytes out to `shares` samples in equal parts; what one does not need, those after it may use.

    Args:
        total: Bytes of the page that all media together may take, encoded for a data URI.
        shares: How many samples there are.
    """

    def __init__(self, total: int, *, shares: int) -> None:
        self._share = total / max(shares, 1)
        self._left = 0.0

    def open_share(self) -> None:
        """Go on to the next sample."""
        self._left += self._share

    def base64(self, data: bytes, *, leaving: int = 0) -> str | None:
        """Return `data` in base64, or None where no room is left for it.

        Args:
            data: The bytes to embed.
            leaving: Bytes of the allowance that must stay free for what matters more.
        """
        cost = 4 * -(-len(data) // 3)
        if cost + leaving > self._left:
            return None
        self._left -= cost
        return base64.b64encode(data).decode()

    def data_uri(self, media_type: str, data: bytes, *, leaving: int = 0) -> str | None:
        """Return `data` as a data URI, or None where no room is left for it."""
        encoded = self.base64(data, leaving=leaving)
        return None if encoded is None else f"data:{media_type};base64,{encoded}"
