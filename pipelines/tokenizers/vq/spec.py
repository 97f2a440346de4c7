"""TokenizerSpec: everything that decides the network of a tokenizer, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq.codebook import Codebook, CosineCodebook, FiniteScalars
from pipelines.tokenizers.vq.contents import Tokenised, num_values
from shards.errors import SettingsError

_MODALITIES: Mapping[str, Any] = {kind.__name__: kind for kind in (Features, Image, LogMel, Points, Raster)}
_CODEBOOKS: Mapping[str, Any] = {kind.__name__: kind for kind in (CosineCodebook, FiniteScalars)}
_MOST = {"width": 1 << 14, "depth": 256, "heads": 256, "decoder_depth": 256, "outputs": 1 << 24}

Gives = Literal["input", "features"]


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """A tokenizer: encoder, codebook and decoder over the tokens of one modality.

    Args:
        modality: What is turned into ids.
        gives: What ids are turned back into: the "input", or "features" that a teacher has for each token.
        outputs: Values that the decoder gives for each token. For class ids, scores of all classes for every pixel.
        width: Width of encoder and decoder.
        depth: Blocks of the encoder.
        decoder_depth: Blocks of the decoder.
        heads: Attention heads of every block.
        codebook: What quantises.

    Raises:
        SettingsError: Numbers are out of range, or do not fit the modality.
    """

    modality: Tokenised
    gives: Gives
    outputs: int
    width: int
    depth: int
    decoder_depth: int
    heads: int
    codebook: Codebook

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise SettingsError(f"A tokenizer with {name} {getattr(self, name)} was asked for; give 1 to {most}.")
        values = num_values(self.modality)
        if self.gives == "input" and (self.outputs % values if self.classes else self.outputs != values):
            raise SettingsError(
                f"A token of '{self.modality.name}' holds {values} values, which {self.outputs} outputs cannot give back."
            )

    @property
    def classes(self) -> int | None:
        """How many classes there are, where ids are tokenised; None elsewhere."""
        if not isinstance(self.modality, Raster) or not self.modality.is_ids:
            return None
        return max(1, self.outputs // self.modality.patch_values)

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {"modality": _described(self.modality), "codebook": _described(self.codebook)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenizerSpec:
        """Read a specification back.

        Raises:
            SettingsError: It is none, or says what cannot be.
        """
        expected = [field.name for field in fields(cls)]
        _require(isinstance(data, Mapping) and sorted(data) == sorted(expected), f"has to have {', '.join(expected)}")
        _require(data["gives"] in get_args(Gives), f"gives {data['gives']!r}, which nothing does")
        sizes = {name: data[name] for name in _MOST}
        _require(
            all(type(size) is int for size in sizes.values()), f"has the sizes {sizes}, which are no whole numbers"
        )
        return cls(
            modality=_built(_MODALITIES, data["modality"]),
            gives=data["gives"],
            codebook=_built(_CODEBOOKS, data["codebook"]),
            **sizes,
        )


def _described(part: Any) -> dict[str, Any]:  # noqa: ANN401 - a modality or a codebook
    return {"kind": type(part).__name__, **asdict(part)}


def _built(kinds: Mapping[str, Any], data: Any) -> Any:  # noqa: ANN401 - JSON in, a modality or a codebook out
    """Return one of a closed list of dataclasses whose fields are numbers, words and tuples of numbers."""
    _require(isinstance(data, Mapping) and data.get("kind") in kinds, f"has a part that is none of {', '.join(kinds)}")
    kind = kinds[data["kind"]]
    values = {name: value for name, value in data.items() if name != "kind"}
    types = get_type_hints(kind)
    expected = {field.name for field in fields(kind)}
    _require(values.keys() == expected, f"has a {data['kind']} without {', '.join(sorted(expected))}")
    for name, value in values.items():
        _require(_fits(value, types[name]), f"has a {data['kind']} whose {name} is {value!r}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _fits(value: Any, kind: Any) -> bool:  # noqa: ANN401 - JSON, and a type
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(type(number) is int for number in value)
    return type(value) in ((int, float) if kind is float else (kind,))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SettingsError(f"The specification of a tokenizer {what}.")
