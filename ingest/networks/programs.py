"""Programs that `torch.export` wrote, looked through before they are loaded.

`torch.export.load` of torch 2.11 executes what is in a file in many ways: it unpickles weights and constants that are marked so
(`weights_only=False`), custom objects, and example inputs when the restricted unpickler refuses them; it loads compiled
libraries; it falls back to an older format that does all of that; it evaluates shapes as Python (`sympy.sympify`) and guards
(`exec`); it finds operators by attributes of `torch`, among them `torch.serialization.os.system`; and names become source
code. So nothing is loaded here unless it has only the parts of an exported network, every name is a name, and every
operator is one of ATen's that neither opens files nor prints.
"""

import io
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ingest.networks.weights import shortened
from shards.errors import SettingsError

_MODEL, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_TABLES = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PARTS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json|"
    r"data/sample_inputs/model\.pt|data/weights/(model_weights_config\.json|weight_\d+)|"
    r"data/constants/(model_constants_config\.json|tensor_\d+)"
)
_PLAIN = re.compile(r"[\w.\-+]*")
_WORDS = re.compile(r"[\w ,.\->]*")
_OPERATOR = re.compile(r"torch\.ops\.aten\.(?!_*from_file|_print|save)(\w+)\.(\w+)")
_ARITHMETIC = re.compile(
    r"_operator\.(getitem|add|sub|mul|floordiv|mod|eq|ne|lt|le|gt|ge|neg|pow|truediv)|torch\.sym_\w+"
)
_SHAPE = re.compile(
    r"(?:[\d\s+\-*/(),]|Symbol\('[su]\d+'|(?:positive|negative|nonnegative|nonzero|integer)=(?:True|False)|[su]\d+|"
    r"\b(?:FloorDiv|Mod|Max|Min|Integer|Add|Mul|Pow|CleanDiv|CeilToInt|IntTrueDiv|ToFloat|Eq|Ne|Lt|Le|Gt|Ge|True|False)\b)*"
)
_STRUCTURES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})


_MOST_VIEWS = 1 << 30
"""Views at a time that a program without a limit may be shown."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program with one tensor as input and one as output.

    Args:
        exported: What torch made of the file.
        shape: Shape of one picture's output.
        side: Side in pixels of the pictures that it takes.
        least: Fewest pictures that it takes at a time.
        most: Most.
        gives_ids: Whether it gives whole numbers.
    """

    exported: Any
    shape: tuple[int, ...]
    side: int
    least: int
    most: int
    gives_ids: bool


def read_program(path: Path) -> Program:
    """Return the program in a `.pt2` file that `torch.export.save` wrote, with torch 2.8 or newer.

    Raises:
        SettingsError: There is no such file, it holds more than a plain network, or it does not map pictures to one array.
    """
    from torch.export.pt2_archive._package import load_pt2

    if not path.is_file():
        raise SettingsError(f"There is no exported program '{path}'.")
    data = path.read_bytes()
    _require_plain(data, path)
    try:
        with warnings.catch_warnings():
            # torch makes weights of the bytes of the file where they lie, and warns that nobody may write into them.
            warnings.filterwarnings("ignore", message="The given buffer is not writable", category=UserWarning)
            # Not torch.export.load: on whatever fails here it would try the older format, which executes what is in it.
            loaded: Any = load_pt2(io.BytesIO(data)).exported_programs["model"]
        return _described(loaded)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise SettingsError(
            f"{path} is not an exported program from pictures to one array: {shortened(error)}"
        ) from error


def _described(exported: Any) -> Program:  # noqa: ANN401 - torch.export.ExportedProgram
    signature = exported.graph_signature
    ((picture,), (output,)) = signature.user_inputs, signature.user_outputs
    values = {node.name: node.meta["val"] for node in exported.graph.nodes if "val" in node.meta}
    batch, channels, height, width = values[picture].shape
    given = values[output]
    if (
        (channels, height) != (3, width)
        or not isinstance(height, int)
        or any(not isinstance(length, int) for length in given.shape[1:])
    ):
        raise ValueError(
            f"it takes {tuple(values[picture].shape)} and gives {tuple(given.shape)}; only the batch may vary"
        )
    least, most = (batch, batch) if isinstance(batch, int) else _limits(exported, batch)
    return Program(
        exported=exported,
        shape=tuple(given.shape[1:]),
        side=height,
        least=least,
        most=most,
        gives_ids=not given.is_floating_point(),
    )


def _limits(exported: Any, batch: Any) -> tuple[int, int]:  # noqa: ANN401 - of torch
    limits = exported.range_constraints.get(batch.node.expr)
    if limits is None:
        return 1, _MOST_VIEWS
    # A batch without a limit has torch's own infinity, which compares but does not become an int.
    return max(1, int(limits.lower)), _MOST_VIEWS if limits.upper >= _MOST_VIEWS else int(limits.upper)


def _require_plain(data: bytes, path: Path) -> None:
    """Raise SettingsError unless loading an archive executes nothing.

    Parts are read with the reader that torch loads them with: another could be shown other bytes.
    """
    from torch.export.pt2_archive._package import PT2ArchiveReader

    try:
        archive: Any = PT2ArchiveReader(io.BytesIO(data))
        names: list[str] = archive.get_file_names()
        foreign = [name for name in names if not _PARTS.fullmatch(name)]
        documents = [json.loads(archive.read_string(name)) for name in (_MODEL, *_TABLES)]
        samples = archive.read_bytes(_SAMPLES)
    except (RuntimeError, AssertionError, ValueError, KeyError) as error:
        raise SettingsError(
            f"{path} is not a program that torch.export.save of torch 2.8 or newer wrote: {shortened(error)}"
        ) from error
    if foreign or len(set(names)) < len(names):
        raise _refusal(path, f"it holds '{(foreign or names)[0]}', which is no part of a plain network")
    for table in documents[1:]:
        _require_plain_payloads(table, path)
    for document in documents:
        _require_plain_strings(document, path)
    _require_operators(documents[0], path)
    _require_plain_samples(samples, path)


def _require_plain_payloads(table: Any, path: Path) -> None:  # noqa: ANN401 - JSON
    payloads = table.get("config", {}) if isinstance(table, dict) else {"": None}
    for name, payload in payloads.items():
        if not isinstance(payload, dict) or payload.get("use_pickle") is not False:
            raise _refusal(path, f"the weights '{name}' are pickled")
        if not re.fullmatch(r"(weight|tensor)_\d+", str(payload.get("path_name"))):
            raise _refusal(path, f"the constant '{name}' is an object of a library")


def _require_plain_strings(document: Any, path: Path) -> None:  # noqa: ANN401 - JSON
    for key, text in _strings(document):
        if key == "as_string":
            sound = _WORDS.fullmatch(text) is not None
        elif key == "expr_str":
            sound = _SHAPE.fullmatch(text) is not None
        elif key in ("in_spec", "out_spec"):
            sound = _is_plain_structure(text)
        else:
            sound = _PLAIN.fullmatch(text) is not None and "__import__" not in text
        if not sound:
            raise _refusal(path, f"'{key}' says {text[:100]!r}, which could be code")
    if isinstance(document, dict) and document.get("guards_code"):
        raise _refusal(
            path, "it comes with guards, which are code; export it with strict=False and only the batch dynamic"
        )


def _strings(document: Any, key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Yield all strings in a document with their keys, and its keys; what torch only shows to people is left out."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield "key", name
            if name == "metadata":
                continue
            yield from _strings(value, name)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value, key)
    elif isinstance(document, str):
        yield key, document


def _is_plain_structure(text: str) -> bool:
    """Tell whether the structure of inputs or outputs is one of tuples, lists and dictionaries."""
    try:
        waiting = [json.loads(text)[1]]
        while waiting:
            part = waiting.pop()
            if part["type"] not in _STRUCTURES or not re.fullmatch(r"[\w\s,\"\[\]]*", str(part["context"])):
                return False
            waiting.extend(part["children_spec"])
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    return True


def _require_operators(document: Any, path: Path) -> None:  # noqa: ANN401 - JSON
    """Raise SettingsError unless all operators are ATen's and in its dispatcher, where those of TorchScript are not."""
    for target in _targets(document):
        if not _is_plain_operator(target):
            raise _refusal(path, f"it calls '{target}'")


def _is_plain_operator(target: str) -> bool:
    found = _OPERATOR.fullmatch(target)
    if found is None:
        return _ARITHMETIC.fullmatch(target) is not None
    name, overload = found.groups()
    return torch._C._dispatch_has_kernel(f"aten::{name}" if overload == "default" else f"aten::{name}.{overload}")


def _targets(document: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "target":
                yield str(value)
            elif name != "metadata":
                yield from _targets(value)
    elif isinstance(document, list):
        for value in document:
            yield from _targets(value)


def _require_plain_samples(samples: bytes, path: Path) -> None:
    try:
        torch.load(io.BytesIO(samples), weights_only=True) if samples else None
    except (UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refusal(path, "its example inputs are not plain tensors") from error


def _refusal(path: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"{path} was not loaded, and nothing in it executed: {reason}. Code of your own is given as "
        "function=package.module:function."
    )
