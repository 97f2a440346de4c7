"""Tokenizers as files: safetensors whose metadata tell how to build the network. Nothing in a file is executed.

    maskloom.tokenizer      version of the format, and the specification (`TokenizerSpec`)
    maskloom.normalisation  what is done to the input before it is embedded, in words
    maskloom.codebook_use   how the codes were used at the end of training; see `codebook_use`
    maskloom.sha256         of the specification and all tensors

The digest is the identity of a tokenizer: it does not depend on who wrote the file, nor on what else is said in it.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq.contents import Tokenised
from pipelines.tokenizers.vq.spec import TokenizerSpec
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from shards.errors import MaskloomError, SettingsError
from shards.storage import canonical_json, replace_file

FILE_NAME = "tokenizer.safetensors"
FORMAT_VERSION = 1
_SPEC, _NORMALISATION, _USE, _DIGEST = (
    f"maskloom.{part}" for part in ("tokenizer", "normalisation", "codebook_use", "sha256")
)
_SHOWN_NAMES = 6
_IN_USE = 0.1
"""A code counts as used if it takes at least this part of an even share."""

Tensors = Mapping[str, Tensor]


class TokenizerFileError(MaskloomError):
    """A file is no tokenizer, is damaged, or is one that this maskloom cannot read."""


def save_tokenizer(tokenizer: VqTokenizer, path: Path) -> str:
    """Write a tokenizer to a file, completely or not at all, and return its digest.

    Raises:
        StorageError: The file cannot be written.
    """
    spec = {"version": FORMAT_VERSION, **tokenizer.spec.to_json()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tokenizer.state_dict().items()}
    digest = _digest(spec, tensors)
    metadata = {
        _SPEC: canonical_json(spec).decode(),
        _NORMALISATION: normalisation(tokenizer.spec.modality),
        _USE: json.dumps(codebook_use(tokenizer.quantiser.use)),
        _DIGEST: digest,
    }
    replace_file(path.parent, path, save(tensors, metadata))
    return digest


def load_tokenizer(path: Path) -> VqTokenizer:
    """Return the tokenizer of a file, or of the folder of a run that trained one, on the CPU in evaluation mode.

    Raises:
        TokenizerFileError: There is none, it is damaged, or it is of another kind or version.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        hint = " Has the run ended? It is written after the last step." if path.is_dir() else ""
        raise TokenizerFileError(f"There is no tokenizer {file}.{hint}")
    metadata, tensors = _read(file)
    described = _described(file, metadata)
    if _digest(described, tensors) != metadata.get(_DIGEST):
        raise TokenizerFileError(f"{file} is damaged: its digest is not the recorded one. Get or train it again.")
    try:
        spec = TokenizerSpec.from_json({name: part for name, part in described.items() if name != "version"})
        _require_tensors(file, spec, tensors)
        tokenizer = VqTokenizer(spec)
    except SettingsError as error:
        raise TokenizerFileError(f"{file} cannot be understood. {error}") from error
    tokenizer.load_state_dict(dict(tensors), strict=True)
    tokenizer.weights_sha256 = str(metadata[_DIGEST])
    return tokenizer.eval().requires_grad_(False)


def codebook_use(use: Float[Tensor, " codes"]) -> dict[str, float]:
    """Return how codes share the tokens, whose shares sum to 1.

    `codes`, how many there are; `used`, the part of them that takes at least a tenth of an even share; `perplexity`, the
    number of evenly used codes that would be as hard to guess.
    """
    shares = use.double() / use.double().sum().clamp(min=torch.finfo(torch.float64).tiny)
    entropy = -torch.special.xlogy(shares, shares).sum()
    used = (shares >= _IN_USE / len(shares)).double().mean()
    return {"codes": float(len(shares)), "used": float(used), "perplexity": float(entropy.exp())}


def normalisation(modality: Tokenised) -> str:
    """Say what is done to the input before it is embedded."""
    match modality:
        case Image():
            return "pixels from 0 to 255, mean and standard deviation of ImageNet"
        case LogMel():
            return "log-mel features, mean and standard deviation of AudioSet"
        case Raster(is_ids=True):
            return "class ids; all that are no class are one"
        case Raster():
            return "logarithm of values above 0, from the mean of the first batch; all others as not measured"
        case Points():
            return "the cloud in a sphere of radius 1, each group from its centre"
        case Features():
            return "each vector to mean 0 and variance 1"


def _read(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
            return opened.metadata() or {}, {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise TokenizerFileError(f"{file} is not a whole safetensors file: {error}. Get or train it again.") from error


def _described(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what a file says of itself: version and specification, not checked any further."""
    if _SPEC not in metadata:
        raise TokenizerFileError(
            f"{file} is no tokenizer of maskloom: it lacks the metadata '{_SPEC}'. Give the {FILE_NAME} of a run."
        )
    try:
        described = json.loads(metadata[_SPEC])
    except ValueError as error:
        raise TokenizerFileError(f"{file} is damaged: what it says of itself is no JSON ({error}).") from error
    version = described.get("version") if isinstance(described, dict) else None
    if version != FORMAT_VERSION:
        raise TokenizerFileError(f"{file} has version {version!r} of the format; this maskloom reads {FORMAT_VERSION}.")
    return dict(described)


def _require_tensors(file: Path, spec: TokenizerSpec, tensors: Tensors) -> None:
    """Raise TokenizerFileError unless a file holds the tensors of its network, before memory is taken for them."""
    with torch.device("meta"):
        wanted = VqTokenizer(spec).state_dict()
    wrong = sorted(
        name
        for name in {*wanted, *tensors}
        if name not in wanted
        or name not in tensors
        or (wanted[name].shape, wanted[name].dtype) != (tensors[name].shape, tensors[name].dtype)
    )
    if wrong:
        more = ", ..." if len(wrong) > _SHOWN_NAMES else ""
        raise TokenizerFileError(
            f"{file} does not hold the network that it describes: {', '.join(wrong[:_SHOWN_NAMES])}{more} are missing, "
            "unexpected, or of another shape."
        )


def _digest(spec: Mapping[str, Any], tensors: Tensors) -> str:
    digest = sha256(canonical_json(spec))
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
