"""A teacher of every kind on small seeded weights, saved in the formats that libraries publish; none has learned anything."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.modalities import Features, Image
from pipelines.tokenizers.vq.codebook import CosineCodebook
from pipelines.tokenizers.vq.file import save_tokenizer
from pipelines.tokenizers.vq.spec import TokenizerSpec
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from tests.ingest.teachers.checkpoints import saved_timm, timm_network

SIDE = 32
"""Side of the pictures that they look at."""


class MeanOfPatches(nn.Module):
    """The mean colours of patches of 16 pixels, [batch, 4, 3]."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 16).flatten(2).transpose(1, 2)


def seeded_settings(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write what is needed, and return the settings of each teacher by its name."""
    torch.manual_seed(0)
    clip, dino = _clip(folder), _dino(folder)
    program = torch.export.export(
        MeanOfPatches(), (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, folder / "program.pt2")
    pictures = Image(size=SIDE, patch=8)
    save_tokenizer(_tokenizer(pictures, outputs=pictures.patch_values), folder / "pictures.safetensors")
    features = Features(stored="dino", grid=(4,), dim=48)
    save_tokenizer(_tokenizer(features, outputs=48), folder / "features.safetensors")
    return {
        "clip": (f"model={clip / 'open_clip_config.json'}", f"pretrained={clip / 'open_clip_model.safetensors'}"),
        "dino": (f"weights={dino}",),
        "exported": (f"program={folder / 'program.pt2'}",),
        "hog": ("patch=8",),
        "logmel": ("frames=32", "bins=64", "patch=8"),
        "pixels": ("patch=8",),
        "random": ("model=vit_tiny_patch16_224", "output=class"),
        "tokens": (f"tokenizer={folder / 'pictures.safetensors'}",),
    }


def _clip(folder: Path) -> Path:
    config: dict[str, Any] = {
        "embed_dim": 40,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _dino(folder: Path) -> Path:
    name, sizes = "vit_small_patch16_224", {"img_size": SIDE}
    return saved_timm(folder, timm_network(name, **sizes), name, **sizes)


def _tokenizer(modality: Image | Features, *, outputs: int) -> VqTokenizer:
    spec = TokenizerSpec(
        modality=modality,
        gives="input",
        outputs=outputs,
        width=32,
        depth=1,
        decoder_depth=1,
        heads=2,
        codebook=CosineCodebook(size=64, dim=8, decay=0.99, dead_below=0.0),
    )
    return VqTokenizer(spec).eval()
