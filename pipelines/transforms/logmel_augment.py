"""Augmentations of log-mel features in batches, on the device they are on; all draws come from the samples' own."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipelines.randomness import Draws
from pipelines.transforms.noise import uniform_noise


def add_noise(
    features: Float[Tensor, "batch frames bins"], draws: Draws, *, most: float = 0.1
) -> Float[Tensor, "batch frames bins"]:
    """Add noise to normalised features: uniform in [0, 1) for every element, times a level uniform in [0, `most`) a sample.

    (Gong et al., CAV-MAE, arXiv:2210.07839, official code; 0.1 there.)
    """
    levels = _per_sample(draws, purpose="noise level", like=features) * most
    noise = uniform_noise(draws, tuple(features.shape[1:]), purpose="noise", device=features.device)
    return features + (noise * levels[:, None, None]).to(features.dtype)


def roll_time(
    features: Float[Tensor, "batch frames bins"], lengths: Int[Tensor, " batch"], draws: Draws
) -> Float[Tensor, "batch frames bins"]:
    """Shift the sound of each sample in time by any number of frames, its end coming round to its beginning.

    Only the first `lengths` frames of a sample, those that hold sound, move; published code rolls the padding into the
    signal (Gong et al., CAV-MAE, arXiv:2210.07839, official code).
    """
    real = lengths.to(features.device)[:, None]
    shifts = (_per_sample(draws, purpose="roll", like=features)[:, None] * real).long()
    frames = torch.arange(features.shape[1], device=features.device)[None]
    rolled = (frames - shifts) % real.clamp(min=1)
    source = torch.where(frames < real, rolled, frames)
    return features.gather(1, source[:, :, None].expand_as(features))


def mask_bands(
    features: Float[Tensor, "batch frames bins"], draws: Draws, *, frames: int, bins: int, fill: float = 0.0
) -> Float[Tensor, "batch frames bins"]:
    """Overwrite one span of time and one of bins of each sample with `fill`, the mean of normalised features.

    Their widths are uniform in 0 .. `frames` and 0 .. `bins`, and so are their places (Park et al., SpecAugment,
    arXiv:1904.08779, section 2, without the warping).
    """
    in_time = _in_span(features.shape[1], draws, most=frames, purpose="time span", like=features)
    in_bins = _in_span(features.shape[2], draws, most=bins, purpose="bin span", like=features)
    return features.masked_fill(in_time[:, :, None] | in_bins[:, None, :], fill)


def _in_span(length: int, draws: Draws, *, most: int, purpose: str, like: Tensor) -> Bool[Tensor, "batch {length}"]:
    """Tell of each place on a line whether it lies in the span that its sample draws."""
    width_draws, place_draws = torch.from_numpy(draws.uniforms(2, purpose=purpose)).to(like.device).T
    widths = (width_draws * (min(most, length) + 1)).long()
    firsts = (place_draws * (length - widths + 1)).long()
    places = torch.arange(length, device=like.device)[None]
    is_inside: Tensor = (places >= firsts[:, None]) & (places < (firsts + widths)[:, None])
    return is_inside


def _per_sample(draws: Draws, *, purpose: str, like: Tensor) -> Float[Tensor, " batch"]:
    """Return one uniform number in [0, 1) for each sample."""
    return torch.from_numpy(draws.uniforms(1, purpose=purpose)[:, 0]).to(like.device, torch.float32)
