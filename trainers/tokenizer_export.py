"""From a run that trained a tokenizer to the file that everything else uses it by."""

from pathlib import Path

from pipelines.tokenizers.vq.file import FILE_NAME, save_tokenizer
from shards.errors import SettingsError
from trainers.checkpoint import CheckpointError, latest, restore_network
from trainers.models.vq_autoencoder import VqAutoencoderNetwork
from trainers.recipe import Recipe
from trainers.run import RunFolder


def write_tokenizer(run: RunFolder, recipe: Recipe) -> Path:
    """Write the tokenizer of the newest checkpoint to RUN/tokenizer.safetensors, and return its path.

    Raises:
        SettingsError: The recipe trains no tokenizer.
        CheckpointError: There is no checkpoint, or it is damaged.
        StorageError: The file cannot be written.
    """
    checkpoint = latest(run.checkpoints)
    if checkpoint is None:
        raise CheckpointError(f"{run.root} has no checkpoint yet, so there is no tokenizer to write.")
    network = recipe.network(seed=0)
    if not isinstance(network, VqAutoencoderNetwork):
        raise SettingsError(f"recipe '{recipe.name}' trains no tokenizer; recipes that do are called vq_*.")
    restore_network(checkpoint, network)
    path = run.root / FILE_NAME
    save_tokenizer(network.tokenizer, path)
    return path
