"""What a vision transformer says about a picture: its patches, class token, registers, attention, or all of it pooled."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ingest.networks.resizing import Preparation, grid_side, gridded_size
from ingest.networks.timm_models import VitFacts
from ingest.teachers import Compute
from shards.errors import SettingsError

Output = Literal["patches", "class", "registers", "attention", "pooled"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which output of a vision transformer is read, and at which size pictures are shown to it.

    Args:
        size: Side of the views in pixels.
        patch: Side of the trainer's patches.
        input_size: Side of what the network is shown. 0 means, where there is one value for each patch, that at which it
            has the trainer's grid; otherwise that which it was made for.
        output: What is read.
        layer: After which layer; -1 is the last.
        norm: Whether the network's own last normalisation is applied to tokens.
    """

    size: int
    patch: int
    input_size: int
    output: Output
    layer: int
    norm: bool

    def side(self, facts: VitFacts) -> int:
        """Return the side in pixels of what the network is shown.

        Raises:
            SettingsError: At no size, or not at the one asked for, the network has the trainer's grid.
        """
        if self.output in ("patches", "attention"):
            return gridded_size(size=self.size, patch=self.patch, network_patch=facts.patch, input_size=self.input_size)
        side = self.input_size or facts.native
        if side < facts.patch or side % facts.patch:
            raise SettingsError(
                f"input_size={side} is not a multiple of the teacher's patches of {facts.patch} pixels; "
                f"{max(1, round(side / facts.patch)) * facts.patch} is."
            )
        return side

    def shape(self, facts: VitFacts) -> tuple[int, ...]:
        """Return the shape of one picture's output.

        Raises:
            SettingsError: The network has no such output, or no such layer.
        """
        self.depth(facts)
        self.side(facts)
        if self.output in ("class", "attention") and not facts.has_class:
            raise SettingsError(f"output={self.output} was asked for, but the teacher has no class token.")
        if self.output == "registers" and not facts.registers:
            raise SettingsError("output=registers was asked for, but the teacher has no register tokens.")
        if self.output == "pooled" and self.depth(facts) != facts.depth - 1:
            raise SettingsError(f"What is pooled is the last layer; layer={self.layer} was asked for.")
        if self.output == "attention":
            return (grid_side(size=self.size, patch=self.patch) ** 2,)
        if self.output == "patches":
            return grid_side(size=self.size, patch=self.patch) ** 2, facts.width
        return (facts.registers, facts.width) if self.output == "registers" else (facts.width,)

    def depth(self, facts: VitFacts) -> int:
        """Return the layer, counted from 0.

        Raises:
            SettingsError: There is no such layer.
        """
        return layer_index(self.layer, depth=facts.depth)

    def preparation(self, facts: VitFacts) -> Preparation:
        """Return how views become what the network is shown."""
        return Preparation(size=self.side(facts), mean=facts.mean, deviation=facts.deviation)

    def compute(self, network: Any, facts: VitFacts) -> Compute:  # noqa: ANN401 - a class of timm
        """Return the function from 8-bit views to this output, float32; `network` is for pictures of `side(facts)`."""
        self.shape(facts)
        prepare, layer = self.preparation(facts), self.depth(facts)
        if self.output == "pooled":

            def read(images: Tensor) -> Tensor:
                pooled: Tensor = network.forward_head(network.forward_features(images), pre_logits=True)
                return pooled
        elif self.output == "attention":
            read = _AttentionReader(network, layer, prefix=facts.has_class + facts.registers)
        else:
            read = _TokenReader(network, layer, self.norm, *_places(self.output, facts))

        @torch.inference_mode()
        def compute(images: Shaped[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
            return read(prepare(images)).float()

        return compute


class _TokenReader:
    """Reads the tokens first..last after a layer; one token loses its axis."""

    def __init__(self, network: Any, layer: int, norm: bool, tokens: slice | int) -> None:  # noqa: ANN401
        self._network, self._layer, self._norm, self._tokens = network, layer, norm, tokens

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
        """Return [batch, tokens, width], or [batch, width]."""
        has_prefix = bool(self._network.num_prefix_tokens)
        (found,) = self._network.forward_intermediates(
            images,
            indices=[self._layer],
            norm=self._norm,
            return_prefix_tokens=has_prefix,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        patches, prefix = found if has_prefix else (found, found[:, :0])
        tokens: Tensor = torch.cat([prefix, patches], dim=1)[:, self._tokens]
        return tokens


def _places(output: Output, facts: VitFacts) -> tuple[slice | int]:
    """Return where tokens stand: class, registers, patches."""
    first_patch = facts.has_class + facts.registers
    if output == "class":
        return (0,)
    return (slice(int(facts.has_class), first_patch) if output == "registers" else slice(first_patch, None),)


class _AttentionReader:
    """Reads what the class token attends to in a layer, averaged over heads.

    Fused attention never has these numbers; that of the one layer is taken apart, and they are read where they pass
    through dropout, which does nothing to them in evaluation.
    """

    def __init__(self, network: Any, layer: int, *, prefix: int) -> None:  # noqa: ANN401 - a class of timm
        block = network.blocks[layer]
        attention = getattr(block, "attn", block)
        if not hasattr(attention, "fused_attn") or not isinstance(
            getattr(attention, "attn_drop", None), torch.nn.Dropout
        ):
            raise SettingsError(f"The attention of {type(block).__name__} blocks cannot be read.")
        attention.fused_attn = False
        attention.attn_drop.register_forward_hook(self._keep)
        self._network, self._layer, self._prefix = network, layer, prefix
        self._kept: list[Tensor] = []

    def _keep(self, _module: object, _inputs: object, weights: Float[Tensor, "batch heads queries keys"]) -> None:
        self._kept.append(weights)

    def __call__(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches"]:
        """Return how much of the class token's attention each patch gets; what is left goes to class and registers."""
        self._kept.clear()  # of a batch that memory ran out for
        self._network.forward_intermediates(images, indices=[self._layer], stop_early=True, intermediates_only=True)
        weights = self._kept.pop()
        return weights[:, :, 0, self._prefix :].float().mean(dim=1)


def layer_index(layer: int, *, depth: int) -> int:
    """Return a layer counted from 0; negative ones count from the end.

    Raises:
        SettingsError: There is no such layer.
    """
    if not -depth <= layer < depth:
        raise SettingsError(
            f"layer={layer} was asked for; the teacher has {depth} layers, 0 to {depth - 1}, or -{depth} to -1 from the end."
        )
    return layer % depth
