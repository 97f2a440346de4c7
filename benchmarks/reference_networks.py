"""The networks of three published codes, with their arithmetic: MAE, VideoMAE and CAV-MAE, written down again.

What they do and we do not: all patches are embedded by a convolution, and the visible ones are gathered after; attention is
two matrix products with a softmax between; the heads of MAE and CAV-MAE predict all patches, whose errors are multiplied
with the mask. Weights have the names of the published codes: facebookresearch/mae (He et al., arXiv:2111.06377),
MCG-NJU/VideoMAE (Tong et al., arXiv:2203.12602), YuanGongND/cav-mae (Gong et al., arXiv:2210.07839). Tables of positions are
handed in. A forward pass is given float32 inputs that are normalised, as their loaders do it, and returns the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From query, key and value, all [batch, heads, tokens, dim], to what is attended to."""

TOKEN_STD, VARIANCE_FLOOR, SPREAD_FLOOR = 0.02, 1e-6, 1e-6
TEMPERATURE, CONTRAST_WEIGHT = 0.05, 0.01


def softmax_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend as the published codes do: the whole matrix of attention is made."""
    scores: Tensor = (query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5
    return scores.softmax(dim=-1) @ value


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The sizes of an encoder or a decoder, and how its blocks attend and end."""

    width: int
    depth: int
    heads: int
    attend: Attend
    norm_eps: float = 1e-6

    def blocks(self, depth: int | None = None, *, keyless: bool = False, streams: Iterable[str] = ()) -> nn.ModuleList:
        """Return a stack of blocks, of another depth if one is given."""
        depth = self.depth if depth is None else depth
        return nn.ModuleList(Block(self, keyless=keyless, streams=tuple(streams)) for _ in range(depth))

    def norm(self) -> nn.LayerNorm:
        """Return a layer norm."""
        return nn.LayerNorm(self.width, eps=self.norm_eps)


class Attention(nn.Module):
    """Multi-head attention; `keyless` as in VideoMAE, whose query and value alone have biases."""

    def __init__(self, stack: Stack, *, keyless: bool) -> None:
        super().__init__()
        self.heads, self.attend = stack.heads, stack.attend
        self.qkv = nn.Linear(stack.width, 3 * stack.width, bias=not keyless)
        self.q_bias = nn.Parameter(torch.zeros(stack.width)) if keyless else None
        self.v_bias = nn.Parameter(torch.zeros(stack.width)) if keyless else None
        self.proj = nn.Linear(stack.width, stack.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix the tokens of each sample."""
        bias: Tensor = self.qkv.bias
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        fused = functional.linear(tokens, self.qkv.weight, bias)
        query, key, value = rearrange(fused, "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mixed: Tensor = self.proj(rearrange(self.attend(query, key, value), "b h n d -> b n (h d)"))
        return mixed


class Perceptron(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token."""
        transformed: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return transformed


class Block(nn.Module):
    """A pre-norm block; each of `streams` has norms of its own, as the joint blocks of CAV-MAE have."""

    def __init__(self, stack: Stack, *, keyless: bool, streams: tuple[str, ...]) -> None:
        super().__init__()
        self.norm1, self.norm2 = stack.norm(), stack.norm()
        self.attn, self.mlp = Attention(stack, keyless=keyless), Perceptron(stack.width)
        for stream in streams:
            self.add_module(f"norm1_{stream}", stack.norm())
            self.add_module(f"norm2_{stream}", stack.norm())

    def forward(self, tokens: Tensor, stream: str = "") -> Tensor:
        """Return the tokens after the block, by the norms of a stream if one is named."""
        ending = f"_{stream}" if stream else ""
        mixed: Tensor = tokens + self.attn(self.get_submodule(f"norm1{ending}")(tokens))
        transformed: Tensor = mixed + self.mlp(self.get_submodule(f"norm2{ending}")(mixed))
        return transformed


class PatchEmbedding(nn.Module):
    """A convolution whose kernel is a patch, over all patches."""

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.proj = convolution

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the tokens of all patches, [batch, tokens, width]."""
        embedded: Tensor = self.proj(pixels)
        return embedded.flatten(2).transpose(1, 2)


def at(tokens: Tensor, index: Tensor) -> Tensor:
    """Return the tokens at an index [batch, chosen]."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


class Shuffle:
    """Tokens in the order of noise [batch, tokens], of which the first `kept` are visible."""

    def __init__(self, noise: Tensor, kept: int) -> None:
        self.noise, self.kept = noise, kept
        self.order = noise.argsort(dim=1)
        self.restoring = self.order.argsort(dim=1)

    def visible(self, tokens: Tensor) -> Tensor:
        """Return the visible ones of all tokens."""
        return at(tokens, self.order[:, : self.kept])

    def filled(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Return all tokens in their own order, mask tokens where they are hidden."""
        batch, length = self.noise.shape
        masks = mask_token.repeat(batch, length - self.kept, 1)
        return at(torch.cat([visible, masks], dim=1), self.restoring)

    def mask(self) -> Tensor:
        """Return 1 where a token is hidden, [batch, tokens]."""
        mask = torch.ones_like(self.noise)
        mask[:, : self.kept] = 0
        return mask.gather(1, self.restoring)


def cut(pixels: Tensor, side: int) -> Tensor:
    """Return the patches of pictures in float32, channel fastest, [batch, tokens, values]."""
    return rearrange(pixels, "b c (h p) (w q) -> b (h w) (p q c)", p=side, q=side)


def masked_error(predicted: Tensor, pixels: Tensor, shuffle: Shuffle, side: int) -> Tensor:
    """Return the mean squared error of hidden patches, each standardised; it is computed for all of them."""
    target = cut(pixels, side)
    mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    error = (predicted - (target - mean) / (variance + VARIANCE_FLOOR) ** 0.5).square().mean(dim=-1)
    mask = shuffle.mask()
    return (error * mask).sum() / mask.sum()


def _token(width: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(1, 1, width) * TOKEN_STD)


class Mae(nn.Module):
    """Positions [1, 1 + tokens, width] begin with that of the class token."""

    def __init__(
        self, encoder: Stack, decoder: Stack, *, patch: int, positions: tuple[Tensor, Tensor], kept: int
    ) -> None:
        super().__init__()
        self.pos_embed: Tensor
        self.decoder_pos_embed: Tensor
        self.patch, self.kept = patch, kept
        self.patch_embed = PatchEmbedding(nn.Conv2d(3, encoder.width, patch, patch))
        self.cls_token, self.mask_token = _token(encoder.width), _token(decoder.width)
        self.register_buffer("pos_embed", positions[0], persistent=False)
        self.register_buffer("decoder_pos_embed", positions[1], persistent=False)
        self.blocks, self.norm = encoder.blocks(), encoder.norm()
        self.decoder_embed = nn.Linear(encoder.width, decoder.width)
        self.decoder_blocks, self.decoder_norm = decoder.blocks(), decoder.norm()
        self.decoder_pred = nn.Linear(decoder.width, patch**2 * 3)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the loss of pictures [batch, 3, side, side], masked by noise [batch, tokens]."""
        shuffle = Shuffle(noise, self.kept)
        visible = shuffle.visible(self.patch_embed(images) + self.pos_embed[:, 1:])
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([first, visible], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.decoder_embed(self.norm(tokens))
        filled = shuffle.filled(tokens[:, 1:], self.mask_token)
        tokens = torch.cat([tokens[:, :1], filled], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        predicted = self.decoder_pred(self.decoder_norm(tokens))[:, 1:]
        return masked_error(predicted, images, shuffle, self.patch)


class _VideoEncoder(nn.Module):
    """Embeds all cubes, encodes those that are not masked."""

    def __init__(self, stack: Stack, *, cube: tuple[int, int, int], positions: Tensor) -> None:
        super().__init__()
        self.pos_embed: Tensor
        self.patch_embed = PatchEmbedding(nn.Conv3d(3, stack.width, cube, cube))
        self.register_buffer("pos_embed", positions, persistent=False)
        self.blocks, self.norm = stack.blocks(keyless=True), stack.norm()

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Return the encoded visible tokens."""
        tokens = self.patch_embed(clips) + self.pos_embed
        tokens = tokens[~mask].reshape(len(clips), -1, tokens.shape[-1])
        for block in self.blocks:
            tokens = block(tokens)
        encoded: Tensor = self.norm(tokens)
        return encoded


class _VideoDecoder(nn.Module):
    """Predicts the last tokens of those that it is given."""

    def __init__(self, stack: Stack, *, values: int) -> None:
        super().__init__()
        self.blocks, self.norm = stack.blocks(keyless=True), stack.norm()
        self.head = nn.Linear(stack.width, values)

    def forward(self, tokens: Tensor, predicted: int) -> Tensor:
        """Return the predictions at the last `predicted` tokens."""
        for block in self.blocks:
            tokens = block(tokens)
        predictions: Tensor = self.head(self.norm(tokens[:, -predicted:]))
        return predictions


class VideoMae(nn.Module):
    """Positions are [1, tokens, width], a cube is (frames, rows, columns)."""

    def __init__(
        self, encoder: Stack, decoder: Stack, *, cube: tuple[int, int, int], positions: tuple[Tensor, Tensor]
    ) -> None:
        super().__init__()
        self.pos_embed: Tensor
        self.cube = cube
        self.encoder = _VideoEncoder(encoder, cube=cube, positions=positions[0])
        self.encoder_to_decoder = nn.Linear(encoder.width, decoder.width, bias=False)
        self.mask_token = _token(decoder.width)
        self.register_buffer("pos_embed", positions[1], persistent=False)
        self.decoder = _VideoDecoder(decoder, values=3 * cube[0] * cube[1] * cube[2])

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of clips [batch, 3, frames, side, side], masked where `mask` [batch, tokens] is True."""
        batch, width = len(clips), self.mask_token.shape[-1]
        target = self.target(clips)[mask].reshape(batch, -1, self.decoder.head.out_features)
        visible = self.encoder_to_decoder(self.encoder(clips, mask))
        positions = self.pos_embed.expand(batch, -1, -1)
        seen, hidden = (positions[chosen].reshape(batch, -1, width) for chosen in (~mask, mask))
        tokens = torch.cat([visible + seen, self.mask_token + hidden], dim=1)
        return functional.mse_loss(self.decoder(tokens, hidden.shape[1]), target)

    @torch.no_grad()
    def target(self, clips: Tensor) -> Tensor:
        """Return the standardised colours of all cubes."""
        mean, std = (clips.new_tensor(values)[:, None, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        t, p, q = self.cube
        cubes = rearrange(clips * std + mean, "b c (t f) (h p) (w q) -> b (t h w) (f p q) c", f=t, p=p, q=q)
        spread = cubes.var(dim=-2, unbiased=True, keepdim=True).sqrt() + SPREAD_FLOOR
        return rearrange((cubes - cubes.mean(dim=-2, keepdim=True)) / spread, "b n p c -> b n (p c)")


@dataclass(frozen=True, kw_only=True)
class Half:
    """What CAV-MAE has for sound, or for pictures: channels, positions of both halves [1, tokens, width], visible tokens."""

    channels: int
    positions: tuple[Tensor, Tensor]
    kept: int


class CavMae(nn.Module):
    """Blocks of sound `a`, of pictures `v`, and joint ones that pass over both together and over each alone."""

    def __init__(
        self, encoder: Stack, decoder: Stack, *, own_depth: int, patch: int, sound: Half, picture: Half
    ) -> None:
        super().__init__()
        self.patch, self.kept = patch, {"a": sound.kept, "v": picture.kept}
        for letter, side in (("a", sound), ("v", picture)):
            self.add_module(
                f"patch_embed_{letter}", PatchEmbedding(nn.Conv2d(side.channels, encoder.width, patch, patch))
            )
            self.register_buffer(f"pos_embed_{letter}", side.positions[0], persistent=False)
            self.register_buffer(f"decoder_pos_embed_{letter}", side.positions[1], persistent=False)
            self.register_parameter(f"modality_{letter}", _token(encoder.width))
            self.register_parameter(f"decoder_modality_{letter}", _token(decoder.width))
            self.add_module(f"blocks_{letter}", encoder.blocks(own_depth))
            self.add_module(f"norm_{letter}", encoder.norm())
            self.add_module(f"decoder_pred_{letter}", nn.Linear(decoder.width, patch**2 * side.channels))
        self.blocks_u, self.norm = encoder.blocks(streams=("a", "v")), encoder.norm()
        self.decoder_embed, self.mask_token = nn.Linear(encoder.width, decoder.width), _token(decoder.width)
        self.decoder_blocks, self.decoder_norm = decoder.blocks(), decoder.norm()

    def forward(self, sound: Tensor, pictures: Tensor, noise_a: Tensor, noise_v: Tensor) -> Tensor:
        """Return the loss of sound [batch, frames, bins] and pictures [batch, 3, side, side], masked by noise."""
        shown = {"a": sound[:, None].transpose(2, 3), "v": pictures}
        shuffles = {"a": Shuffle(noise_a, self.kept["a"]), "v": Shuffle(noise_v, self.kept["v"])}
        alone = {letter: self._alone(letter, shown[letter], shuffles[letter]) for letter in shown}
        joint = torch.cat([alone["a"], alone["v"]], dim=1)
        for block in self.blocks_u:
            joint = block(joint)
        decoded = self._decoded(self.norm(joint), shuffles)
        errors = [
            masked_error(
                self.get_submodule(f"decoder_pred_{letter}")(part), shown[letter], shuffles[letter], self.patch
            )
            for letter, part in decoded.items()
        ]
        return errors[0] + errors[1] + CONTRAST_WEIGHT * self._contrast(alone)

    def _alone(self, letter: str, pixels: Tensor, shuffle: Shuffle) -> Tensor:
        """Return the visible tokens of a modality after its own blocks."""
        tokens = self.get_submodule(f"patch_embed_{letter}")(pixels)
        tokens = tokens + self.get_buffer(f"pos_embed_{letter}") + self.get_parameter(f"modality_{letter}")
        tokens = shuffle.visible(tokens)
        for block in self.get_submodule(f"blocks_{letter}").children():
            tokens = block(tokens)
        return tokens

    def _decoded(self, joint: Tensor, shuffles: dict[str, Shuffle]) -> dict[str, Tensor]:
        """Return all tokens of both modalities after the decoder."""
        parts = self.decoder_embed(joint).split([self.kept["a"], self.kept["v"]], dim=1)
        placed = [
            shuffle.filled(part, self.mask_token)
            + self.get_buffer(f"decoder_pos_embed_{letter}")
            + self.get_parameter(f"decoder_modality_{letter}")
            for (letter, shuffle), part in zip(shuffles.items(), parts, strict=True)
        ]
        tokens = torch.cat(placed, dim=1)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        lengths = [part.shape[1] for part in placed]
        return dict(zip(shuffles, self.decoder_norm(tokens).split(lengths, dim=1), strict=True))

    def _contrast(self, alone: dict[str, Tensor]) -> Tensor:
        """Return how badly the sound of each picture is found, by means of tokens that saw their own modality alone."""
        means = {}
        for letter, tokens in alone.items():
            for block in self.blocks_u:
                tokens = block(tokens, letter)
            summary = self.get_submodule(f"norm_{letter}")(tokens).mean(dim=1)
            means[letter] = functional.normalize(summary, dim=-1)
        scores = means["a"] @ means["v"].T / TEMPERATURE
        return -scores.log_softmax(dim=0).diagonal().mean()
