import numpy as np
import torch

from pipelines.randomness import Draws
from pipelines.transforms.noise import uniform_noise

DRAWS = Draws.of(["a", "b", "c"], epochs=[0, 0, 1], seed=5)
CPU = torch.device("cpu")


def test_noise_is_what_the_samples_draw() -> None:
    noise = uniform_noise(DRAWS, (20, 30), purpose="noise", device=CPU)
    drawn = DRAWS.uniforms(600, purpose="noise").reshape(3, 20, 30)
    assert noise.dtype == torch.float32
    assert np.array_equal(noise.numpy(), np.floor(drawn * 2**24) / 2**24)


def test_noise_is_uniform_and_different_for_every_sample_and_purpose() -> None:
    noise = uniform_noise(DRAWS, (100_000,), purpose="noise", device=CPU)
    assert 0 <= noise.min() < 1e-4
    assert 1 - 1e-4 < noise.max() < 1
    assert (noise.mean(dim=1) - 0.5).abs().max() < 0.005
    assert (noise.std(dim=1) - 12**-0.5).abs().max() < 0.005
    assert torch.corrcoef(noise).triu(1).abs().max() < 0.02
    assert not torch.equal(noise, uniform_noise(DRAWS, (100_000,), purpose="other", device=CPU))


def test_noise_of_a_sample_does_not_depend_on_its_batch() -> None:
    alone = Draws.of(["b"], epochs=[0], seed=5)
    assert torch.equal(
        uniform_noise(alone, (9,), purpose="noise", device=CPU)[0],
        uniform_noise(DRAWS, (9,), purpose="noise", device=CPU)[1],
    )
