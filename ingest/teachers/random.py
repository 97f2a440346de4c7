"""A vision transformer that was never trained, as a teacher: the first stage of dBOT (arXiv:2209.03917, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ingest.networks.timm_models import Architecture, VitFacts, initialised_vit, vit_facts
from ingest.networks.vision_transformer import Output, Reading
from ingest.networks.weights import state_digest
from ingest.teachers import Compute
from pipelines.modalities import Image
from pipelines.randomness import generator_for

DEVIATION = 0.02
"""Standard deviation of drawn weights, as in MAE and dBOT."""

_PURPOSE = "weights of a random teacher"


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A vision transformer of timm with drawn weights: the same on every machine, whatever timm's own initialisation.

    Everything with two axes or more (matrices, tokens, positions) is uniform with standard deviation 0.02, drawn for each
    name from the seed; biases are zero; norms and scales are as timm begins with. Only whole numbers are drawn and
    scaled, so that no library of special functions can round a weight otherwise.

    Args:
        size: Side of the views in pixels.
        model: Name in timm; a tag only decides mean and deviation of the pixels.
        seed: Another seed is another teacher.
        output: See the teacher `dino`.
        layer: See the teacher `dino`.
        norm: See the teacher `dino`.
        input_size: See the teacher `dino`; positions are drawn at this size, never interpolated.
        patch: Side of the trainer's patches.

    Raises:
        SettingsError: The settings do not fit the network; when a property is asked for.
    """

    size: int
    model: str = "vit_base_patch16_224"
    seed: int = 0
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
        """Shape of the output."""
        return self._reading.shape(self._facts)

    @property
    def vocabulary(self) -> None:
        """The output are numbers."""
        return

    @property
    def preprocessing(self) -> str:
        """Resizing, and the mean and standard deviation that timm has for the name."""
        return self._reading.preparation(self._facts).described(self.size)

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights that are drawn."""
        return state_digest(self._network().state_dict())

    @property
    def packages(self) -> tuple[str, ...]:
        """timm has the networks."""
        return ("timm",)

    def load(self, device: torch.device) -> Compute:
        """Return the function from 8-bit pictures [batch, 3, size, size] to the output."""
        self._reading.shape(self._facts)
        return self._reading.compute(self._network().to(device), self._facts)

    @property
    def _architecture(self) -> Architecture:
        return Architecture(name=self.model)

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

    def _network(self) -> Any:  # noqa: ANN401 - a class of timm
        network = initialised_vit(self._architecture, side=self._reading.side(self._facts))
        draw_weights(network, seed=self.seed)
        return network


@torch.no_grad()
def draw_weights(network: torch.nn.Module, *, seed: int) -> None:
    """Draw the weights of a network anew, each by its name; see `Teacher`."""
    for name, value in network.named_parameters():
        if value.ndim > 1:
            generator = generator_for(seed=seed, epoch=0, key=name, purpose=_PURPOSE)
            uniform = torch.from_numpy(generator.random(tuple(value.shape), dtype="float32"))
            value.copy_((uniform - 0.5) * (math.sqrt(12) * DEVIATION))
        elif name.endswith("bias"):
            value.zero_()
