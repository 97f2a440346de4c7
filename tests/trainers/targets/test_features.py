import pytest
import torch
from torch import Tensor

from pipelines.batch import Batch
from pipelines.modalities import Image
from tests.batches import make_batch
from trainers.targets.features import FeatureTarget, layer_normed

IMAGE = Image(size=32, patch=16)


def batch_of(stored: Tensor) -> Batch:
    keys = tuple(f"sample-{row}" for row in range(len(stored)))
    return make_batch(keys, {"image": torch.zeros(len(stored), 3, 32, 32)}, stored={"clip": stored})


def features(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7 + 3


def test_normed_vectors_have_mean_zero_and_variance_one_each_by_itself() -> None:
    normed = layer_normed(features(2, 4, 64))
    torch.testing.assert_close(normed.mean(dim=-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(dim=-1, unbiased=False), torch.ones(2, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(layer_normed(features(2, 4, 64) * 5 + 2), normed, atol=1e-4, rtol=0)


def test_a_vector_without_spread_becomes_zeros() -> None:
    assert not layer_normed(torch.full((1, 2, 8), 0.25)).any()


@pytest.mark.parametrize("normalisation", ["layer_norm", "none"])
def test_stored_vectors_are_read_and_normalised_as_told(normalisation: str) -> None:
    stored = features(2, 4, 24)
    target = FeatureTarget(table="clip", width=24, places="target", normalisation=normalisation)  # type: ignore[arg-type]
    read = target.build(IMAGE)(batch_of(stored))
    assert target.stored == "clip"
    assert torch.equal(read, layer_normed(stored) if normalisation == "layer_norm" else stored)


def test_vectors_belong_to_tokens_or_to_the_sample() -> None:
    of_tokens = FeatureTarget(table="clip", width=24, places="visible", normalisation="none")
    of_samples = FeatureTarget(table="clip", width=24, places="sample", normalisation="none")
    assert of_tokens.stored_shape(IMAGE) == (4, 24)
    assert of_samples.stored_shape(IMAGE) == (24,)
    assert of_tokens.dim(IMAGE) == of_samples.dim(IMAGE) == 24
    assert of_samples.build(IMAGE)(batch_of(features(2, 24))).shape == (2, 24)
