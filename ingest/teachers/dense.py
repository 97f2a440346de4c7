"""Depth or a segmentation of every pixel, by a network of torchvision or transformers, as MultiMAE and 4M label with them.

MultiMAE (arXiv:2204.01678) and 4M (arXiv:2312.06647) make such pseudo-labels once and learn from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ingest.networks.dense_models import KINDS, Segmenter, Transformer
from ingest.networks.resizing import NORMALISATIONS, Preparation
from ingest.networks.timm_models import PRETRAINED
from ingest.teachers import Compute
from pipelines.modalities import Image
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A map of the view: depth as the network gives it, or the id of the class with the largest score.

    Maps are brought to size / stride by bilinear interpolation: depth with antialiasing, and scores before the largest is
    chosen. Depth has the network's own unit and direction; many give inverse depth, and only up to scale.

    Args:
        size: Side of the views in pixels.
        model: "torchvision:NAME", or "transformers:FOLDER" or a name on the Hugging Face hub in place of the folder.
        weights: Of torchvision: "pretrained", or a file of weights.
        output: "depth", float [rows, columns], or "segments", ids [rows, columns]; torchvision has only the latter.
        stride: Pixels of the view to one value of the map, along each side.
        input_size: Side of what the network is shown; 0 is that of the views. Some networks need a multiple of 14 or 32.
        normalisation: "model" is what the model says of itself; or "imagenet", or "half" (0.5, 0.5).
        patch: Side of the trainer's patches.

    Raises:
        SettingsError: There is no such model, or it gives something else; when a property is asked for.
    """

    size: int
    model: str = "torchvision:deeplabv3_resnet50"
    weights: str = PRETRAINED
    output: Literal["depth", "segments"] = "segments"
    stride: int = 1
    input_size: int = 0
    normalisation: Literal["model", "imagenet", "half"] = "model"
    patch: int = 16

    @property
    def modality(self) -> Image:
        """Pictures."""
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        if self.stride < 1 or self.size % self.stride:
            raise SettingsError(
                f"stride={self.stride} does not divide views of {self.size} pixels; give a stride that does, such as 4."
            )
        return self.size // self.stride, self.size // self.stride

    @property
    def vocabulary(self) -> int | None:
        """How many classes there are; None for depth."""
        return self._source.classes if self.output == "segments" else None

    @property
    def preprocessing(self) -> str:
        """Resizing, mean and standard deviation."""
        return self._preparation.described(self.size)

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights."""
        return self._source.digest

    @property
    def packages(self) -> tuple[str, ...]:
        """Where the network is from."""
        return self._source.packages

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to maps: float32, or int64 for ids."""
        shape, prepare = self.shape, self._preparation
        maps, is_depth = self._source.load(device), self.output == "depth"

        @torch.inference_mode()
        def compute(images: Tensor) -> Tensor:
            found = maps(prepare(images)).float()
            if is_depth:
                channel = found if found.ndim == 4 else found[:, None]
                return interpolate(channel, shape, mode="bilinear", antialias=True)[:, 0]
            return interpolate(found, shape, mode="bilinear").argmax(dim=1)

        return compute

    @property
    def _source(self) -> Segmenter | Transformer:
        kind, colon, name = self.model.partition(":")
        if not colon or not name or kind not in KINDS:
            raise SettingsError(
                f"A dense teacher is named torchvision:NAME or transformers:FOLDER; model={self.model} was asked for."
            )
        if kind == "transformers":
            return Transformer(name=name, is_depth=self.output == "depth")
        if self.output == "depth":
            raise SettingsError(
                "torchvision has no networks for depth; give model=transformers:FOLDER with output=depth."
            )
        return Segmenter(name=name, weights=self.weights)

    @property
    def _preparation(self) -> Preparation:
        mean, deviation = self._source.colours if self.normalisation == "model" else NORMALISATIONS[self.normalisation]
        return Preparation(size=self.input_size or self.size, mean=mean, deviation=deviation)
