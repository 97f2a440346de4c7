"""What each way of storing a target would cost, in bytes, hours and error, measured on a sample before anything is computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ingest.targets.forward import Forward
from ingest.targets.look import Look
from ingest.targets.parity import compare
from ingest.targets.showing import Showing, ahead, showing_of
from ingest.targets.spec import Manner, default_coding
from ingest.targets.task import AHEAD, own_device
from pipelines.device.choice import Precision
from pipelines.randomness import hash_key
from pipelines.target_coding import decode, encode, fit_projection
from shards.dataset import Dataset, Ids
from shards.target_spec import Coding

PLAN_SAMPLES = 32
FIT_SAMPLES = 256
TOKENS_PER_VALUE = 16
"""Tokens that principal components are fitted to, for each value of a token: fewer would fit their noise."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a coding would cost.

    Args:
        coding: The coding.
        bytes: On disk, for the whole dataset.
        mean_cosine: Of rows as stored with float32, over rows that were not used to fit anything.
        worst_cosine: Of the worst of them.
    """

    coding: Coding
    bytes: int
    mean_cosine: float
    worst_cosine: float


@dataclass(frozen=True, kw_only=True)
class TargetPlan:
    """What computing a target would take: `seconds` for the whole dataset by one process, and the cost of each coding."""

    seconds: float
    samples: int
    choices: tuple[Choice, ...]


def plan_target(dataset: Dataset, look: Look, *, manner: Manner, precision: Precision) -> TargetPlan:
    """Measure a teacher on a sample of a dataset, and what its target would cost in every coding."""
    torch.set_num_threads(manner.cores)
    device = own_device(manner.device)
    forward = Forward(look.load(device), device=device, precision=precision, batch=manner.batch)
    showing = showing_of(dataset, look)
    ids = drawn_ids(dataset, PLAN_SAMPLES, purpose="plan")
    _said(showing, forward, ids[:1], look, manner)  # what happens once only is not to count
    began = time.monotonic()
    said = _said(showing, forward, ids, look, manner)
    seconds = (time.monotonic() - began) / len(ids) * dataset.num_samples
    choices = [_choice(coding, said, look, dataset.num_samples) for coding in _codings(look)]
    return TargetPlan(seconds=seconds, samples=len(ids), choices=tuple(choices))


def projection_for(dataset: Dataset, look: Look, components: int, *, manner: Manner, precision: Precision) -> Tensor:
    """Return the mean of a token and its principal components, fitted to views of drawn samples."""
    device = own_device(manner.device)
    forward = Forward(look.load(device), device=device, precision=precision, batch=manner.batch)
    width, tokens = look.shape[-1], int(np.prod(look.shape[:-1])) * look.views.count
    wanted = max(FIT_SAMPLES, -(-TOKENS_PER_VALUE * width // tokens))
    ids, showing = drawn_ids(dataset, wanted, purpose="components"), showing_of(dataset, look)
    return fit_projection(_said(showing, forward, ids, look, manner).flatten(0, -2), components)


def drawn_ids(dataset: Dataset, count: int, *, purpose: str) -> Ids:
    """Return up to `count` different samples, the same ones whenever the dataset is asked for the same purpose."""
    if dataset.num_samples <= count:
        return np.arange(dataset.num_samples)
    draws = (hash_key(purpose, dataset.dataset_id, number) % dataset.num_samples for number in range(2 * count))
    return np.array(list(dict.fromkeys(draws))[:count], np.int64)


def _said(showing: Showing, forward: Forward, ids: Ids, look: Look, manner: Manner) -> Tensor:
    """Return what a teacher says about all views of some samples, on the host: [rows, *shape]; rendered ahead of it."""
    step = max(1, manner.batch // look.views.count)
    runs = [ids[start : start + step] for start in range(0, len(ids), step)]
    parts = []
    for views, present in ahead(showing.views, runs, threads=manner.threads, depth=AHEAD):
        said = forward(views.flatten(0, 1)).cpu().reshape(len(present), look.views.count, *look.shape)
        parts.append(said[torch.tensor(present)].flatten(0, 1))
    return torch.cat(parts)


def _codings(look: Look) -> Sequence[Coding]:
    if look.teacher.vocabulary is not None:
        return [default_coding(look.teacher)]
    width = look.shape[-1]
    kept = [components for components in (width // 2, width // 4, width // 8) if components >= 8]
    return [
        Coding(dtype="float32"),
        Coding(dtype="float16"),
        Coding(dtype="int8"),
        *(Coding(dtype=dtype, components=components) for components in kept for dtype in ("float16", "int8")),
    ]


def _choice(coding: Coding, said: Tensor, look: Look, num_samples: int) -> Choice:
    """Fit to every second row, where there is something to fit, and measure on the others."""
    projection = None if coding.components is None else fit_projection(said[::2].flatten(0, -2), coding.components)
    rest = said[1::2] if coding.components is not None and len(said) > 1 else said
    stored = decode(torch.from_numpy(encode(rest, coding, projection)), coding, projection)
    found = compare(rest, stored, coding)
    values = int(np.prod(coding.stored_shape(look.shape))) * look.views.count
    return Choice(
        coding=coding,
        bytes=values * np.dtype(coding.dtype).itemsize * num_samples,
        mean_cosine=found.mean_cosine,
        worst_cosine=found.worst_cosine,
    )
