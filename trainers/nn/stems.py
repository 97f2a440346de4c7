"""Stems: from what a batch holds of a modality to embedded tokens, each with its position, at the places asked for.

What stands at each place is looked at first and embedded after, so hidden places cost nothing.
"""

from abc import abstractmethod

import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from pipelines.modalities import Clip, Features, Image, LogMel, Modality, Raster, Text, Tokens
from pipelines.transforms.patches import patchify
from shards.errors import SettingsError
from trainers.nn.embed import patches_of, raster_patches
from trainers.nn.gather import gather_tokens
from trainers.nn.initialise import TOKEN_STD
from trainers.nn.positions import Half, position_table

CLASS_WIDTH = 64
"""Values of the vector that stands for a class of pixels (Bachmann et al., arXiv:2204.01678, official code)."""


class Places(nn.Module):
    """Where tokens of a modality are, as fixed sines and cosines, and of which modality they are, as a learned vector."""

    def __init__(self, modality: Modality, *, width: int, first: Half, with_kind: bool) -> None:
        super().__init__()
        self.positions: Tensor
        self.register_buffer("positions", position_table(modality, width=width, first=first), persistent=False)
        self.kind_token = nn.Parameter(torch.empty(1, 1, width)) if with_kind else None
        if self.kind_token is not None:
            nn.init.normal_(self.kind_token, std=TOKEN_STD)

    def forward(self) -> Float[Tensor, "tokens width"]:
        """Return what is added to the token of each place."""
        return self.positions if self.kind_token is None else self.positions + self.kind_token[0]


class Stem(nn.Module):
    """What all stems do: look, choose, embed, place."""

    def __init__(self, modality: Modality, *, width: int, first: Half, with_kind: bool) -> None:
        super().__init__()
        self.modality = modality
        self.places = Places(modality, width=width, first=first, with_kind=with_kind)

    @abstractmethod
    def contents(self, inputs: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch tokens values"]:
        """Return what stands at each place, in the order of the tokens."""

    @abstractmethod
    def embedded(self, contents: Shaped[Tensor, "batch chosen values"]) -> Float[Tensor, "batch chosen width"]:
        """Return contents as vectors."""

    def forward(
        self,
        inputs: Shaped[Tensor, "batch ..."],
        index: Int[Tensor, "batch chosen"],
        ids: Int[Tensor, "batch chosen"] | None = None,
    ) -> Float[Tensor, "batch chosen width"]:
        """Return the tokens at `index`, in its order; `ids`, if given, are read there instead of what stands there."""
        placed: Tensor = self.unplaced(inputs, index, ids) + self.places()[index]
        return placed

    def unplaced(
        self,
        inputs: Shaped[Tensor, "batch ..."],
        index: Int[Tensor, "batch chosen"],
        ids: Int[Tensor, "batch chosen"] | None = None,
    ) -> Float[Tensor, "batch chosen width"]:
        """Return the same without their positions."""
        chosen = gather_tokens(self.contents(inputs), index) if ids is None else ids[..., None]
        return self.embedded(chosen)


class PatchStem(Stem):
    """Patches of pictures, clips, spectrograms or measured rasters, or stored vectors: a linear layer; unmeasured is 0."""

    def __init__(
        self,
        modality: Image | Clip | LogMel | Raster | Features,
        *,
        width: int,
        first: Half,
        with_kind: bool,
        bias: bool,
    ) -> None:
        super().__init__(modality, width=width, first=first, with_kind=with_kind)
        values = modality.dim if isinstance(modality, Features) else modality.patch_values
        self.embed = nn.Linear(values, width, bias=bias)

    def contents(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch tokens values"]:
        """See Stem."""
        match self.modality:
            case Image() | Clip() | LogMel():
                return patches_of(self.modality, inputs)
            case Raster():
                return raster_patches(inputs, patch=self.modality.patch_side).nan_to_num(0.0)
            case _:
                return inputs

    def embedded(self, contents: Float[Tensor, "batch chosen values"]) -> Float[Tensor, "batch chosen width"]:
        """See Stem."""
        embedded: Tensor = self.embed(contents)
        return embedded


class ClassMapStem(Stem):
    """Patches of class ids: a vector for the class of each pixel, side by side, and a linear layer; no class is nothing.

    Bachmann et al., arXiv:2204.01678, section 3.1, official code.
    """

    def __init__(self, modality: Raster, *, width: int, first: Half, with_kind: bool) -> None:
        super().__init__(modality, width=width, first=first, with_kind=with_kind)
        if modality.classes < 2:
            raise SettingsError(
                f"'{modality.name}' holds ids of which nobody said how many there are; give --set "
                f"modalities.{modality.name}.classes=N."
            )
        self.classes = nn.Embedding(modality.classes, CLASS_WIDTH)
        self.embed = nn.Linear(modality.patch_values * CLASS_WIDTH, width)
        nn.init.trunc_normal_(self.classes.weight, std=TOKEN_STD)

    def contents(self, inputs: Int[Tensor, "batch channels side side"]) -> Int[Tensor, "batch tokens pixels"]:
        """See Stem."""
        assert isinstance(self.modality, Raster)
        return patchify(inputs.long(), self.modality.patch_side)

    def embedded(self, contents: Int[Tensor, "batch chosen pixels"]) -> Float[Tensor, "batch chosen width"]:
        """See Stem."""
        is_class = (contents >= 0) & (contents < self.classes.num_embeddings)
        vectors = self.classes(torch.where(is_class, contents, 0)) * is_class[..., None]
        embedded: Tensor = self.embed(rearrange(vectors, "batch token pixel width -> batch token (pixel width)"))
        return embedded


class IdStem(Stem):
    """Words of a text, or ids that a teacher stored: a vector for each, drawn from a standard normal distribution.

    Geng et al., arXiv:2205.14204, official code.
    """

    def __init__(self, modality: Text | Tokens, *, width: int, first: Half, with_kind: bool) -> None:
        super().__init__(modality, width=width, first=first, with_kind=with_kind)
        vocabulary = modality.tokenizer.vocabulary if isinstance(modality, Text) else modality.vocabulary
        self.embed = nn.Embedding(vocabulary, width)

    def contents(self, inputs: Int[Tensor, "batch tokens"]) -> Int[Tensor, "batch tokens 1"]:
        """See Stem."""
        return inputs[..., None]

    def embedded(self, contents: Int[Tensor, "batch chosen 1"]) -> Float[Tensor, "batch chosen width"]:
        """See Stem."""
        embedded: Tensor = self.embed(contents[..., 0])
        return embedded


def stem_for(
    modality: Modality, *, width: int, first: Half = "column", with_kind: bool = False, patch_bias: bool = True
) -> Stem:
    """Return the stem of a modality; raises SettingsError if it is one that has none.

    Without `patch_bias` patches are embedded without one, for stems whose `kind_token` says as much.
    """
    match modality:
        case Raster(is_ids=True):
            return ClassMapStem(modality, width=width, first=first, with_kind=with_kind)
        case Features():
            return PatchStem(modality, width=width, first=first, with_kind=with_kind, bias=True)
        case Image() | Clip() | LogMel() | Raster():
            return PatchStem(modality, width=width, first=first, with_kind=with_kind, bias=patch_bias)
        case Text() | Tokens():
            return IdStem(modality, width=width, first=first, with_kind=with_kind)
        case _:
            raise SettingsError(
                f"There is no stem for '{modality.name}', which is a {type(modality).__name__}; choose another architecture."
            )
