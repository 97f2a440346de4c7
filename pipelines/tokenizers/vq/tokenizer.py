"""VqTokenizer: from rows of a batch to ids and back."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from pipelines.modalities import Features, Image, LogMel, Points, Raster
from pipelines.tokenizers.vq.contents import Tokenised, from_contents
from pipelines.tokenizers.vq.spec import TokenizerSpec
from pipelines.tokenizers.vq.stems import POSITION_STD, ClassStem, FeatureStem, MeasureStem, PointStem, Stem
from pipelines.tokenizers.vq.transformer import initialise_, mixing_blocks
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """What a tokenizer gives back while it learns: `values` of each token, the ids in between, and their commitment."""

    values: Float[Tensor, "batch tokens outputs"]
    ids: Int[Tensor, "batch tokens"]
    commitment: Float[Tensor, ""]


class VqTokenizer(nn.Module):
    """Encoder, codebook and decoder: transformers over the tokens of one modality.

    `weights_sha256` identifies the file that a tokenizer was read from; it is empty for one that was just made.
    """

    def __init__(self, spec: TokenizerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.weights_sha256 = ""
        self.stem = _stem(spec)
        self.encoder = mixing_blocks(spec.width, depth=spec.depth, heads=spec.heads)
        self.norm = nn.LayerNorm(spec.width)
        self.positions = nn.Parameter(torch.empty(1, spec.modality.num_tokens, spec.width))
        self.decoder = mixing_blocks(spec.width, depth=spec.decoder_depth, heads=spec.heads)
        self.head = nn.Sequential(nn.LayerNorm(spec.width), nn.Linear(spec.width, spec.outputs))
        initialise_(self)
        nn.init.trunc_normal_(self.positions, std=POSITION_STD)
        self.quantiser = spec.codebook.build(spec.width)

    @property
    def modality(self) -> Tokenised | None:
        """What is turned into ids; None for feature maps, whose shape is `feature_shape`."""
        return None if isinstance(self.spec.modality, Features) else self.spec.modality

    @property
    def feature_shape(self) -> tuple[int, int] | None:
        """Tokens and values of the feature maps that are turned into ids; None for anything else."""
        modality = self.spec.modality
        return (modality.num_tokens, modality.dim) if isinstance(modality, Features) else None

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self.spec.codebook.vocabulary

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along every axis."""
        return tuple(self.spec.modality.grid)

    @property
    def num_tokens(self) -> int:
        """Ids to a sample."""
        return self.spec.modality.num_tokens

    def embed(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens width"]:
        """Return the encoded tokens before they are quantised."""
        encoded: Tensor = self.norm(self.encoder(self.stem(inputs)))
        return encoded

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Reconstruction:
        """Encode, quantise and decode; in training mode the codebook learns, too."""
        if self.training:
            self.stem.learn(inputs)
        quantised = self.quantiser(self.embed(inputs))
        return Reconstruction(
            values=self.predict(quantised.vectors), ids=quantised.ids, commitment=quantised.commitment
        )

    def predict(self, vectors: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens outputs"]:
        """Return what the decoder says of each token, as contents; see `pipelines.tokenizers.vq.contents`."""
        predicted: Tensor = self.head(self.decoder(vectors + self.positions))
        return predicted + self.stem.offset

    @torch.no_grad()
    def encode(self, inputs: Shaped[Tensor, "batch ..."]) -> Int[Tensor, "batch tokens"]:
        """Return the ids of samples, int64, in the order of the tokens of the modality.

        `inputs` are rows as a batch delivers them: uint8 pictures, float32 features, whatever `modality` renders to.

        Raises:
            SettingsError: They have another shape.
        """
        self._require_rows(inputs)
        return self.quantiser.ids(self.embed(inputs))

    @torch.no_grad()
    def decode(self, ids: Int[Tensor, "batch tokens"]) -> Shaped[Tensor, "batch ..."]:
        """Return what ids stand for, in the unit of the input: pictures are uint8, depth is in the unit of the depth.

        Points come group by group, [batch, groups, neighbours, 3], each from its own centre, in clouds of radius 1. A
        tokenizer that was taught by a teacher gives the teacher's features, float32 [batch, tokens, dim]; theirs and those
        of a tokenizer of features have the right direction, and a length of no meaning.

        Raises:
            SettingsError: There are more or fewer of them than tokens, or one is not in the vocabulary.
        """
        self._require_ids(ids)
        values = self.predict(self.quantiser.vectors(ids)).float()
        return from_contents(self.spec.modality, values) if self.spec.gives == "input" else values

    def _require_rows(self, inputs: Tensor) -> None:
        expected = row_shape(self.spec.modality)
        if tuple(inputs.shape[1:]) != expected:
            raise SettingsError(
                f"This tokenizer takes rows of shape {expected} of '{self.spec.modality.name}', not {tuple(inputs.shape[1:])}."
            )

    def _require_ids(self, ids: Tensor) -> None:
        if ids.shape[1:] != (self.num_tokens,):
            raise SettingsError(f"This tokenizer has {self.num_tokens} ids to a sample, not {tuple(ids.shape[1:])}.")
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary:
            raise SettingsError(
                f"This tokenizer knows the ids 0 to {self.vocabulary - 1}; here are {int(ids.min())} to {int(ids.max())}."
            )


def row_shape(modality: Tokenised) -> tuple[int, ...]:
    """Return the shape of one sample as a batch delivers it."""
    match modality:
        case Features():
            return modality.num_tokens, modality.dim
        case Points():
            return modality.count, modality.columns
        case LogMel():
            return modality.frames, modality.bins
        case Image() | Raster():
            return modality.channels, modality.size, modality.size


def _stem(spec: TokenizerSpec) -> Stem:
    match spec.modality:
        case Points():
            return PointStem(spec.modality, width=spec.width)
        case Features():
            return FeatureStem(spec.modality, width=spec.width)
        case Raster(is_ids=True):
            assert spec.classes is not None
            return ClassStem(spec.modality, width=spec.width, classes=spec.classes)
        case Raster():
            return MeasureStem(spec.modality, width=spec.width)
        case _:
            return Stem(spec.modality, width=spec.width)
