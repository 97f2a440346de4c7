"""Stores targets of any shape for a dataset, without a teacher."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipelines.modalities import Image
from pipelines.tokenizers.vq.codebook import FiniteScalars
from pipelines.tokenizers.vq.file import save_tokenizer
from pipelines.tokenizers.vq.spec import TokenizerSpec
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from pipelines.views import RandomResizedCrop, ViewSet
from shards.dataset import Dataset
from shards.schema import BLOCK
from shards.target_spec import Coding, TargetSpec
from shards.target_writer import seal_target, write_target_shard
from tests.pipelines.many_kinds import Stored, write_many_kinds

SIZE, PATCH = 32, 8
GRID = SIZE // PATCH
TOKENS = GRID**2
CROPS = ViewSet(
    policy=RandomResizedCrop(size=SIZE, scale=(0.3, 0.9), ratio=(3 / 4, 4 / 3), flip_probability=0.5), count=2, seed=3
)
PARITY = {"mean_cosine": 0.99998, "worst_cosine": 0.9991, "equal_ids": 0.9975}

Says = Callable[[str, int], npt.NDArray[Any]]
"""From the key of a sample and the number of a view to what is stored of it."""


def spec_of(shape: tuple[int, ...], *, dtype: str = "float16", **more: Any) -> TargetSpec:
    """Describe a target of the crops of pictures."""
    told: dict[str, Any] = {
        "teacher": "oracle",
        "teacher_settings": {"size": SIZE, "patch": PATCH},
        "weights_sha256": None,
        "preprocessing": "none",
        "views": CROPS.to_json(),
        "shape": shape,
        "coding": Coding(dtype=dtype),
        "software": {},
        "looks_at": {"field": "image"},
    }
    return TargetSpec(**told | more)


def store(dataset: Dataset, spec: TargetSpec, says: Says, *, parity: Mapping[str, float] = PARITY) -> TargetSpec:
    """Store and seal a target, and return its specification."""
    for shard in range(dataset.manifest.num_shards):
        keys = dataset.keys(dataset.shard_ids(shard))
        assert len(keys) <= BLOCK
        views = [np.stack([says(key, k) for key in keys]).astype(spec.dtype) for k in range(spec.num_views)]
        write_target_shard(dataset, spec, shard, [(keys, views)])
    seal_target(dataset, spec, parity, num_blank=1)
    return spec


def looked_at(root: Path, *fields: str) -> Dataset:
    """Return four scenes with their captions and some fields.

    Scene 1 has nothing but its caption, scene 3 is in a shard of its own.
    """

    def keep(stored: dict[str, Stored]) -> None:
        for name in stored.keys() - {"text", *fields}:
            del stored[name]

    return write_many_kinds(root, samples=4, size=48, change=keep)


def drawn_ids(key: str, k: int) -> npt.NDArray[np.int64]:
    """Return ids that depend on the sample and the view."""
    return np.random.default_rng([int(key[-1]), k]).integers(0, 50, TOKENS)


def saved_tokenizer(path: Path) -> tuple[VqTokenizer, str]:
    """Write a tokenizer of such pictures, and return it with its digest."""
    torch.manual_seed(0)
    spec = TokenizerSpec(
        modality=Image(size=SIZE, patch=PATCH),
        gives="input",
        outputs=3 * PATCH**2,
        width=16,
        depth=1,
        decoder_depth=1,
        heads=2,
        codebook=FiniteScalars(levels=(5, 5, 5)),
    )
    tokenizer = VqTokenizer(spec).eval()
    with torch.no_grad():
        tokenizer.head[1].weight.zero_()[:, :3] = torch.tensor([3.0, -2.0, 1.0])  # patches of one brightness each
    return tokenizer, save_tokenizer(tokenizer, path)
