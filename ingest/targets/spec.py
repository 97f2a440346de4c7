"""The specification of a target: everything that decides its values, put together and taken apart again."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from ingest.targets.look import Look, recorded_look
from ingest.teachers import Compute, Teacher, build_teacher, teacher_settings
from pipelines.device.choice import Precision
from pipelines.views import ViewSet
from shards.errors import SettingsError
from shards.target_spec import Coding, TargetSpec

SOFTWARE = ("maskloom", "torch", "torchvision", "simplejpeg", "pillow")
_UINT16_IDS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a target is computed: changes speed and memory, not what is stored.

    Args:
        device: "cpu" or "cuda"; with "cuda", every process has a GPU of its own.
        batch: Views that a teacher is shown at a time, as long as memory allows.
        cores: Threads that compute a matrix product. They decide the order of sums, so they stay the same on resuming.
        threads: Threads that read and render ahead of a teacher.
    """

    device: str
    batch: int
    cores: int
    threads: int


def make_spec(name: str, look: Look, *, coding: Coding, precision: Precision) -> TargetSpec:
    """Describe everything that decides the values of a target.

    Raises:
        SettingsError: Ids are to be stored as numbers, or more components than there are values.
    """
    teacher = look.teacher
    return TargetSpec(
        teacher=name,
        teacher_settings=teacher_settings(teacher),
        weights_sha256=teacher.weights_sha256,
        preprocessing=teacher.preprocessing,
        looks_at=look.to_json(),
        views=look.views.to_json(),
        shape=look.shape,
        coding=_fitting(coding, look),
        vocabulary=teacher.vocabulary,
        precision=precision,
        software={package: version(package) for package in dict.fromkeys((*SOFTWARE, *teacher.packages))},
    )


def default_coding(teacher: Teacher) -> Coding:
    """Return how a teacher's targets are stored unless it is said: ids exactly, all else as float16."""
    if teacher.vocabulary is None:
        return Coding(dtype="float16")
    return Coding(dtype="uint16" if teacher.vocabulary <= _UINT16_IDS else "uint32")


def default_precision(teacher: Teacher, device: str) -> Precision:
    """Return the number format of a teacher: bf16 on a GPU, but fp32 where ids are chosen and where nothing is learned."""
    is_exact = teacher.vocabulary is not None or teacher.weights_sha256 is None
    return "fp32" if device == "cpu" or is_exact else "bf16"


def look_of_spec(spec: TargetSpec) -> Look:
    """Return the teacher of a specification with what it is shown; a process keeps the last ones.

    Raises:
        SettingsError: The weights here are not those that were recorded.
    """
    _require_software(spec)
    with _OPENING:
        look, digest = _look(spec.teacher, _recorded(spec))
    if digest != spec.weights_sha256:
        raise SettingsError(
            f"The weights of teacher '{spec.teacher}' on this machine have the digest {digest}, but the target "
            f"{spec.target_id} is computed with {spec.weights_sha256}. Put the same weights on every machine."
        )
    return look


def compute_of(spec: TargetSpec, device: torch.device) -> Compute:
    """Return the loaded teacher of a specification; a process keeps the last one, because it serves many shards.

    It is shown one batch at a time, whichever thread has it.

    Raises:
        SettingsError: The weights are not there, or are not those that were recorded.
    """
    look_of_spec(spec)
    with _OPENING:
        return _compute(spec.teacher, _recorded(spec), device)


_OPENING = threading.Lock()
"""Held while a teacher is opened or loaded: two threads that want the same one load it once."""


def _recorded(spec: TargetSpec) -> str:
    # With the digest of the weights: a file may be replaced by one of the same name while a worker lives.
    return json.dumps([spec.teacher_settings, spec.looks_at, spec.views, spec.weights_sha256], sort_keys=True)


def _require_software(spec: TargetSpec) -> None:
    """Raise SettingsError where a worker has other versions than the specification records."""
    here = {package: _version(package) for package in spec.software}
    others = [f"{package} {here[package]}, not {was}" for package, was in spec.software.items() if here[package] != was]
    if others:
        raise SettingsError(
            f"This worker has {'; '.join(others)}, and would compute other values than {spec.target_id} says. Install the "
            "same versions on every machine."
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=4)
def _look(name: str, recorded: str) -> tuple[Look, str | None]:
    settings, looks_at, views, _ = json.loads(recorded)
    teacher = build_teacher(name, settings)
    return recorded_look(teacher, looks_at, ViewSet.from_json(views)), teacher.weights_sha256


@lru_cache(maxsize=1)
def _compute(name: str, recorded: str, device: torch.device) -> Compute:
    look, _ = _look(name, recorded)
    return _one_at_a_time(look.load(device))


def _one_at_a_time(compute: Compute) -> Compute:
    """Networks may keep what passes through them in hooks, so that two threads would get each other's tokens."""
    turn = threading.Lock()

    def computed(views: Tensor) -> Tensor:
        with turn:
            return compute(views)

    return computed


def _fitting(coding: Coding, look: Look) -> Coding:
    holds_ids = look.teacher.vocabulary is not None
    if coding.holds_ids != holds_ids:
        wanted = default_coding(look.teacher)
        raise SettingsError(
            f"--store {coding}: this teacher gives {'token ids' if holds_ids else 'numbers'}; store them as {wanted}."
        )
    if coding.dtype == "uint16" and (look.teacher.vocabulary or 0) > _UINT16_IDS:
        raise SettingsError(f"--store {coding}: there are {look.teacher.vocabulary:,} ids, store them as uint32.")
    if coding.components is not None and coding.components > look.shape[-1]:
        raise SettingsError(
            f"--store {coding}: a token has {look.shape[-1]} values, so there are no {coding.components} components of it."
        )
    return coding
