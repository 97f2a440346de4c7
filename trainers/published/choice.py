"""Which published code the weights of a network may come from."""

from collections.abc import Callable, Mapping
from typing import Any

from shards.errors import SettingsError
from trainers.models.group_autoencoder import GroupAutoencoderNetwork
from trainers.models.masked_autoencoder import MaskedAutoencoderNetwork
from trainers.nn.network import Network
from trainers.published import autoencoders, cav_mae, four_m, m3ae, multi_mae
from trainers.published.naming import Naming

OF_SEVERAL: Mapping[str, Callable[[Any], Naming]] = {
    "cav_mae": cav_mae.naming,
    "four_m": four_m.naming,
    "m3ae": m3ae.naming,
    "multi_mae": multi_mae.naming,
}
"""Recipes of several modalities, whose codes have names of their own."""


def naming_of(recipe: str, network: Network) -> Naming:
    """Return what the code of a recipe calls the weights of its network.

    Raises:
        SettingsError: No published names are known for it.
    """
    if recipe in OF_SEVERAL:
        return OF_SEVERAL[recipe](network)
    if isinstance(network, MaskedAutoencoderNetwork | GroupAutoencoderNetwork):
        return autoencoders.naming(network)
    known = ", ".join(OF_SEVERAL)
    raise SettingsError(
        f"No published weights are known for '{recipe}'. They can be imported for {known}, and for recipes of one modality "
        "whose architecture is masked_autoencoder or group_autoencoder."
    )
