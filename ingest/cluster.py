"""Where tasks run, as the user says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where tasks run: an embedded cluster of `workers` tasks at a time, or a running scheduler."""

    workers: int
    scheduler: str | None = None
