"""Captions in tables and arrays, where a line break is layout; in a text file it stands between two captions."""

from __future__ import annotations


def one_line(caption: object) -> str:
    """Return a caption with its lines joined by a space."""
    return " ".join(str(caption).splitlines())
