import torch

from pipelines.modalities import Image
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.network import Output

ARCHITECTURE = MaskedAutoencoder(width=96, depth=2, heads=3, decoder_width=64, decoder_depth=1, decoder_heads=2)


def test_linear_weights_start_xavier_uniform_and_tokens_at_two_hundredths() -> None:
    torch.manual_seed(0)
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std() > 0.95 * bound / 3**0.5
            assert not module.bias.any()
    assert 0.01 < network.encoder.class_token.std() < 0.03
    assert 0.01 < network.decoder.mask_token.std() < 0.03


def test_fixed_positions_are_neither_trained_nor_stored() -> None:
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    assert not any("positions" in name for name in network.state_dict())
    assert not any("positions" in name for name, _ in network.named_parameters())


def test_encoder_runs_on_visible_tokens_alone() -> None:
    network = ARCHITECTURE.build((Image(size=32, patch=8),), outputs={"patches": Output(dim=192)})
    encoded = network.encoder(torch.zeros(2, 4, 192), torch.tensor([[0, 3, 5, 7]] * 2))
    assert encoded.shape == (2, 5, 96)
