"""Reads the label of an item out of the small file or tar member that holds it."""

from __future__ import annotations

from shards.schema import RejectReason

MAX_LABEL_BYTES = 256

Problem = tuple[RejectReason, str]


def parse_label(data: bytes, where: str) -> tuple[str | None, Problem | None]:
    """Return the label, or the reason why there is none: it is one line of UTF-8, a class name or a number.

    Args:
        data: Up to one byte more than a label may have, so that a longer one is noticed.
        where: File or member, for people.
    """
    try:
        label = data.decode().strip()
    except UnicodeDecodeError:
        label = ""
    if not label or len(data) > MAX_LABEL_BYTES or "\n" in label:
        return None, (
            RejectReason.INVALID_LABEL,
            f"{where} should hold one line of UTF-8, at most {MAX_LABEL_BYTES} bytes",
        )
    return label, None
