"""Vision transformers of timm as teachers: DINO, DINOv2, DINOv3, MAE, SigLIP, EVA, BEiT and any other.

Patch tokens of DINO are what BEiT v2 (arXiv:2208.06366), MaskDistill (arXiv:2210.10615) and dBOT (arXiv:2209.03917) learn
from as an alternative to CLIP; its class token's attention says what masking should hide (AttMask, arXiv:2203.12719).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ingest.networks.timm_models import (
    PRETRAINED,
    Architecture,
    VitFacts,
    architecture_of,
    downloaded_state,
    trained_vit,
    vit_facts,
)
from ingest.networks.vision_transformer import Output, Reading
from ingest.networks.weights import State, file_digest, read_state, state_digest
from ingest.teachers import Compute
from pipelines.modalities import Image

DEFAULT_MODEL = "vit_base_patch16_224.dino"


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A vision transformer of timm, by name or from a file.

    Args:
        size: Side of the views in pixels.
        model: Name in timm, with or without a tag; empty for what the header of the file says, or DINO's ViT-B/16.
        weights: "pretrained" for those that timm has under the name, or a .safetensors, .pth, .pt or .bin file in a layout
            that timm reads (its own, and the official ones of DINOv2, MAE, BEiT, CLIP).
        output: "patches" [patches, width], "class" [width], "registers" [registers, width], "pooled" [width], or
            "attention" [patches]: how much of the class token's attention each patch gets, the mean over heads.
        layer: After which layer tokens are read, in which one attention; -1 is the last.
        norm: Whether the network's last normalisation is applied to tokens. Networks that pool first normalise only after
            that (`fc_norm`), and have none to apply.
        input_size: Side of what the network is shown; 0: at which it has the trainer's grid, or, where the output has no
            grid, for which it was made. Position embeddings are interpolated.
        patch: Side of the trainer's patches.

    Raises:
        SettingsError: The settings do not fit the network; when a property is asked for.
    """

    size: int
    model: str = ""
    weights: str = PRETRAINED
    output: Output = "patches"
    layer: int = -1
    norm: bool = True
    input_size: int = 0
    patch: int = 16

    @property
    def modality(self) -> Image:
        """Pictures."""
        return Image(size=self.size, patch=self.patch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output; the network is looked at without its weights."""
        return self._reading.shape(self._facts)

    @property
    def vocabulary(self) -> None:
        """The output are numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """Resizing, and the mean and standard deviation that the network was trained with."""
        return self._reading.preparation(self._facts).described(self.size)

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights as they are stored, at whatever size they are used."""
        return state_digest(self._state()) if self.weights == PRETRAINED else file_digest(Path(self.weights))

    @property
    def packages(self) -> tuple[str, ...]:
        """timm has the networks."""
        return ("timm",)

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to the output."""
        self._reading.shape(self._facts)
        network = trained_vit(self._architecture, self._state(), side=self._reading.side(self._facts))
        return self._reading.compute(network.to(device), self._facts)

    @property
    def _architecture(self) -> Architecture:
        return architecture_of(self.model, self.weights, default=DEFAULT_MODEL)

    @property
    def _facts(self) -> VitFacts:
        return vit_facts(self._architecture)

    @property
    def _reading(self) -> Reading:
        return Reading(
            size=self.size,
            patch=self.patch,
            input_size=self.input_size,
            output=self.output,
            layer=self.layer,
            norm=self.norm,
        )

    def _state(self) -> State:
        """Return the weights."""
        if self.weights == PRETRAINED:
            return downloaded_state(self._architecture.name)
        return read_state(Path(self.weights))
