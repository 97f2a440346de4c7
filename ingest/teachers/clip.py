"""Models of open_clip as teachers: features of patches, of pictures, of texts (CLIP, Radford et al., arXiv:2103.00020)."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ingest.networks.open_clip_models import (
    ClipModel,
    clip_model,
    image_tower,
    require_clip_tokens,
    text_tower,
    weights_file,
)
from ingest.networks.resizing import Preparation, grid_side, gridded_size
from ingest.networks.vision_transformer import layer_index
from ingest.networks.weights import State, file_digest, read_state
from ingest.teachers import Compute
from pipelines.modalities import Image, Text
from pipelines.tokenizers.clip import ClipTokenizer
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A model of open_clip, by name and tag or from a file.

    Features of patches are tokens after a layer, by default the last and its norm, as masked image modelling regresses them
    (MaskDistill, arXiv:2210.10615; MR-MAE, arXiv:2303.05475; MaskAlign, arXiv:2211.08887, of several layers); the teacher
    of BEiT v2 (arXiv:2208.06366) projects them (`projected=true`).

    Args:
        size: Side of the views in pixels; of no matter to texts.
        model: Name in open_clip, or the path of an `open_clip_config.json`.
        pretrained: A tag of open_clip, or the path of a .safetensors, .pt, .pth or .bin file. A tag also says which GELU
            the model has; with a file, a model with OpenAI's is called `...-quickgelu`.
        output: "patches" [patches, width], "pooled" [values] or "text" [values]. Pooled features and those of texts are
            what `encode_image` and `encode_text` return, projected and not normalised to length one.
        layer: After which layer patches are read; -1 is the last.
        norm: Whether the last normalisation is applied to patches, of any layer.
        projected: Whether patches are projected into the space of pooled features; it was trained on the normalised class
            token of the last layer.
        input_size: Side of what the network is shown; 0: for patches, at which it has the trainer's grid, otherwise for
            which it was made. Position embeddings are interpolated.
        patch: Side of the trainer's patches.

    Raises:
        SettingsError: The settings do not fit the model; when a property is asked for.
    """

    size: int
    model: str = "ViT-B-16"
    pretrained: str = "openai"
    output: Literal["patches", "pooled", "text"] = "patches"
    layer: int = -1
    norm: bool = True
    projected: bool = False
    input_size: int = 0
    patch: int = 16

    @property
    def modality(self) -> Image | Text:
        """Pictures, or captions as ids of CLIP."""
        if self.output == "text":
            longest = self._model.text.context_length
            return Text(length=longest, tokenizer=ClipTokenizer(longest=longest))
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        model = self._model
        if self.output == "text":
            require_clip_tokens(model)
            return (model.embed_dim,)
        self._side(model)
        if self.output == "pooled":
            return (model.embed_dim,)
        layer_index(self.layer, depth=model.vision.layers)
        width = model.embed_dim if self.projected else model.vision.width
        return grid_side(size=self.size, patch=self.patch) ** 2, width

    @property
    def vocabulary(self) -> None:
        """The output are numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """Resizing, mean and standard deviation of pictures; the splitting of texts."""
        if self.output == "text":
            length = self._model.text.context_length
            return f"byte pairs of CLIP, the last of at most {length} ids is the end, then zeros"
        return self._preparation(self._model).described(self.size)

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights of both towers."""
        return file_digest(weights_file(self.model, self.pretrained))

    @property
    def packages(self) -> tuple[str, ...]:
        """open_clip has the networks; it takes some of them from timm."""
        return ("open_clip_torch", "timm")

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size], or ids [batch, length], to the output."""
        model, _ = self._model, self.shape
        state = read_state(weights_file(self.model, self.pretrained))
        if self.output == "text":
            return _texts(text_tower(model, state).to(device))
        return self._pictures(model, state, device)

    def _pictures(self, model: ClipModel, state: State, device: torch.device) -> Compute:
        tower = image_tower(model, state, side=self._side(model)).to(device)
        prepare = self._preparation(model)
        if self.output == "pooled":
            read = tower
        else:
            layer = layer_index(self.layer, depth=model.vision.layers)
            read = _PatchReader(tower, layer, norm=self.norm, projected=self.projected)

        @torch.inference_mode()
        def compute(images: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
            features: Tensor = read(prepare(images)).float()
            return features

        return compute

    @property
    def _model(self) -> ClipModel:
        return clip_model(self.model, self.pretrained)

    def _preparation(self, model: ClipModel) -> Preparation:
        return Preparation(size=self._side(model), mean=model.mean, deviation=model.deviation)

    def _side(self, model: ClipModel) -> int:
        """Return the side in pixels of what the network is shown."""
        if self.output == "patches":
            _require_patches(model)
            network_patch = model.vision.patch_size
            return gridded_size(
                size=self.size, patch=self.patch, network_patch=network_patch, input_size=self.input_size
            )
        side = self.input_size or model.native
        if side != model.native and not model.is_plain_vit:
            raise SettingsError(
                f"'{model.name}' is shown pictures of {model.native} pixels only; input_size={side} was asked for."
            )
        if model.is_plain_vit and (side < model.vision.patch_size or side % model.vision.patch_size):
            raise SettingsError(
                f"input_size={side} is not a multiple of the patches of {model.vision.patch_size} pixels."
            )
        return side


class _PatchReader:
    """Reads the patches after a layer, [batch, patches, width]."""

    def __init__(self, tower: Any, layer: int, *, norm: bool, projected: bool) -> None:  # noqa: ANN401 - of open_clip
        self._tower, self._layer, self._norm, self._projected = tower, layer, norm, projected

    def __call__(self, images: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch patches width"]:
        found = self._tower.forward_intermediates(
            images,
            indices=[self._layer],
            stop_early=True,
            normalize_intermediates=self._norm,
            intermediates_only=True,
            output_fmt="NLC",
        )
        (patches,) = found["image_intermediates"]
        tokens: Tensor = patches @ self._tower.proj if self._projected else patches
        return tokens


def _texts(tower: Any) -> Compute:  # noqa: ANN401 - a class of open_clip
    @torch.inference_mode()
    def compute(ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch values"]:
        features: Tensor = tower(ids).float()
        return features

    return compute


def _require_patches(model: ClipModel) -> None:
    if model.is_plain_vit:
        return
    timm = model.vision.timm_model_name
    instead = (
        f"Its pictures go through timm's '{timm}': give --teacher dino --set model={timm}.{{tag}}"
        if timm
        else "Its pictures go through a convolutional network"
    )
    raise SettingsError(f"Features of patches cannot be read from '{model.name}' of open_clip. {instead}.")
