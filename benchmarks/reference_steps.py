"""Training steps of the published codes: what `trainers.step.Learner.step` is measured beside.

A step is given a batch of a maskloom stream, which is turned into what the loaders of the published codes hand over before any
time is taken: normalised float32. As they do it, a step draws the noise of its masks (but for VideoMAE, whose loader does),
waits for the loss on the host, and moves the weights by AdamW, Adam in CAV-MAE; those of MAE and VideoMAE also ask for the norm
of the gradient. Learning rates stand still, which costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import pad

from benchmarks.reference_networks import Attend, CavMae, Half, Mae, Stack, VideoMae
from pipelines.batch import Batch
from pipelines.device.choice import autocast
from pipelines.masking.plan import MaskPlan
from pipelines.modalities import Clip, Image, LogMel
from pipelines.transforms.image import normalise
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.nn.joint_decoders import JointDecoder
from trainers.nn.positions import position_table, sincos_2d
from trainers.recipe import Recipe

Shown = Callable[[], tuple[Tensor, ...]]
"""Returns what the network is given in the next step: inputs that stay, and noise that is drawn anew."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published code: its network, what it is shown of a batch, its optimiser, and whether it asks for gradient norms."""

    network: Callable[[Recipe, Batch, Attend], nn.Module]
    shown: Callable[[Recipe, Batch], Shown]
    optimiser: type[torch.optim.Optimizer]
    asks_for_norm: bool


class ReferenceStep:
    """A published network with its optimiser, and the step that moves it; everything is on one device."""

    def __init__(
        self, recipe: Recipe, batch: Batch, *, attend: Attend, device: torch.device, dtype: torch.dtype
    ) -> None:
        code, training = REFERENCES[recipe.name], recipe.training
        torch.manual_seed(0)
        self.network = code.network(recipe, batch, attend).to(device)
        self._shown = code.shown(recipe, batch.to(device))
        self._optimiser = code.optimiser(
            self.network.parameters(),
            lr=training.base_lr,  # type: ignore[call-arg]
            betas=training.betas,
            weight_decay=training.weight_decay,
        )
        self._device, self._dtype, self._asks_for_norm = device, dtype, code.asks_for_norm

    def gradients(self) -> Tensor:
        """Return the loss after a forward and a backward pass, which leave gradients behind."""
        with autocast(self._device, self._dtype):
            loss: Tensor = self.network(*self._shown())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def step(self) -> None:
        """Move the weights by one step; raises RuntimeError if the loss is not finite."""
        self._optimiser.zero_grad()
        loss = self.gradients().item()
        if not math.isfinite(loss):
            raise RuntimeError(f"The loss of the reference is {loss}.")
        if self._asks_for_norm:
            norms = [parameter.grad.norm() for parameter in self.network.parameters() if parameter.grad is not None]
            torch.stack(norms).norm()
        self._optimiser.step()


def mae(recipe: Recipe, batch: Batch, attend: Attend) -> Mae:
    """Return the network of facebookresearch/mae at the size of a recipe."""
    image, model, encoder, decoder = _of_one_modality(recipe, attend)
    assert isinstance(image, Image) and model.class_token
    tables = [pad(position_table(image, width=stack.width), (0, 0, 1, 0))[None] for stack in (encoder, decoder)]
    kept = batch.plans[image.name].visible.shape[1]
    return Mae(encoder, decoder, patch=image.patch, positions=(tables[0], tables[1]), kept=kept)


def video_mae(recipe: Recipe, batch: Batch, attend: Attend) -> VideoMae:
    """Return the network of MCG-NJU/VideoMAE at the size of a recipe."""
    clip, _, encoder, decoder = _of_one_modality(recipe, attend)
    assert isinstance(clip, Clip)
    tables = [position_table(clip, width=stack.width)[None] for stack in (encoder, decoder)]
    cube = (clip.tubelet, clip.patch, clip.patch)
    return VideoMae(encoder, decoder, cube=cube, positions=(tables[0], tables[1]))


def _of_one_modality(recipe: Recipe, attend: Attend) -> tuple[Image | Clip, MaskedAutoencoder, Stack, Stack]:
    model, modality = recipe.model, recipe.modalities[0]
    assert isinstance(model, MaskedAutoencoder) and isinstance(model.decoder, GlobalDecoder)
    assert isinstance(modality, Image | Clip)
    encoder, decoder = (
        Stack(width=part.width, depth=part.depth, heads=part.heads, attend=attend) for part in (model, model.decoder)
    )
    return modality, model, encoder, decoder


def cav_mae(recipe: Recipe, batch: Batch, attend: Attend) -> CavMae:
    """Return the network of YuanGongND/cav-mae at the size of a recipe, with one joint block."""
    model, logmel, clip = recipe.model, recipe.modality("logmel"), recipe.modality("video")
    assert isinstance(model, MultimodalAutoencoder) and isinstance(model.decoder, JointDecoder) and model.depth == 1
    encoder, decoder = (
        Stack(width=part.width, depth=part.depth, heads=part.heads, attend=attend, norm_eps=model.style.norm_eps)
        for part in (model, model.decoder)
    )
    grids = {"logmel": logmel.grid[::-1], "video": clip.grid[1:]}
    halves = {
        name: Half(
            channels=3 if name == "video" else 1,
            positions=(sincos_2d(grid, width=encoder.width)[None], sincos_2d(grid, width=decoder.width)[None]),
            kept=batch.plans[name].visible.shape[1],
        )
        for name, grid in grids.items()
    }
    return CavMae(
        encoder,
        decoder,
        own_depth=model.own_depth,
        patch=clip.patch,
        sound=halves["logmel"],
        picture=halves["video"],
    )


def images_of(recipe: Recipe, batch: Batch) -> Shown:
    """Return normalised pictures, and noise for their masks."""
    images = normalise(batch.inputs["image"])
    size = _size(batch.plans["image"])
    return lambda: (images, torch.rand(size, device=images.device))


def clips_of(recipe: Recipe, batch: Batch) -> Shown:
    """Return normalised clips, and the masks of the batch: those of VideoMAE are made by the loader."""
    clips, plan = _normalised_frames(batch.inputs["video"]), batch.plans["video"]
    mask = torch.zeros(_size(plan), dtype=torch.bool, device=clips.device).scatter(1, plan.target, True)
    return lambda: (clips, mask)


def sounds_and_pictures_of(recipe: Recipe, batch: Batch) -> Shown:
    """Return standardised features, normalised pictures, and noise for the masks of both."""
    logmel = recipe.modality("logmel")
    assert isinstance(logmel, LogMel)
    sound = (batch.inputs["logmel"] - logmel.mean) / logmel.spread
    pictures = _normalised_frames(batch.inputs["video"])[:, :, 0]
    sizes = [_size(batch.plans[name]) for name in ("logmel", "video")]
    return lambda: (sound, pictures, *(torch.rand(size, device=sound.device) for size in sizes))


def _normalised_frames(clips: Tensor) -> Tensor:
    """Return clips [batch, 3, frames, side, side] as loaders of the published codes normalise them."""
    frames = normalise(rearrange(clips, "batch channel frame ... -> (batch frame) channel ..."))
    return rearrange(frames, "(batch frame) channel ... -> batch channel frame ...", batch=len(clips)).contiguous()


def _size(plan: MaskPlan) -> tuple[int, int]:
    """Return samples and tokens of a plan that shows or asks for every token."""
    return len(plan.visible), plan.visible.shape[1] + plan.target.shape[1]


REFERENCES: Mapping[str, Reference] = {
    "mae": Reference(network=mae, shown=images_of, optimiser=torch.optim.AdamW, asks_for_norm=True),
    "video_mae": Reference(network=video_mae, shown=clips_of, optimiser=torch.optim.AdamW, asks_for_norm=True),
    "cav_mae": Reference(
        network=cav_mae, shown=sounds_and_pictures_of, optimiser=torch.optim.Adam, asks_for_norm=False
    ),
}
"""The published codes by the name of the recipe."""
