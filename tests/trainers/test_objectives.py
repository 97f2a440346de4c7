import torch

from trainers.objectives import mean_squared_error


def test_error_is_the_mean_over_all_values() -> None:
    predicted, wanted = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, 0.0], [3.0, 1.0]]])
    assert mean_squared_error(predicted, wanted).item() == (0 + 4 + 0 + 9) / 4


def test_error_of_bfloat16_predictions_is_summed_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(2, 64, 108, generator=generator).bfloat16()
    wanted = torch.rand(2, 64, 108, generator=generator)
    assert mean_squared_error(predicted, wanted).dtype is torch.float32
    exact = (predicted.double() - wanted.double()).square().mean()
    torch.testing.assert_close(mean_squared_error(predicted, wanted).double(), exact, rtol=1e-6, atol=0)
