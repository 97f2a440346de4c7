"""How the weights of a published code become those of a network here: names, layouts, and tables that have to be equal."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from shards.errors import MaskloomError

TABLE_TOLERANCE = 1e-3
"""Wide enough for tables stored in half precision; another order of the axes differs by about one."""
SHOWN_NAMES = 8

BLOCK_NAMES = {"norm1": "norm1", "norm2": "norm2", "attn.qkv": "attention.qkv", "attn.proj": "attention.projection"}
BLOCK_NAMES |= {"mlp.fc1": "perceptron.expand", "mlp.fc2": "perceptron.contract"}
"""Layers of a transformer block, by the names that timm gave them."""


Part = Literal["network", "encoder"]
"""What of a network is loaded."""


class WeightsError(MaskloomError):
    """A file of weights cannot be read safely, or does not hold the weights of this network."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What one code base calls the weights of one network.

    Args:
        our_name: Our name of a weight; None for one that no network here has.
        our_layout: A weight as ours is laid out, given its published name.
        tables: The fixed tables of the encoder that a file may hold too, by their published names and in that form.
        decoder_tables: Those of the decoder, likewise.
        is_idle: Tells weights that are passed over: those that the code itself never uses, or of modalities that the network
            was not built with.
    """

    our_name: Callable[[str], str | None]
    our_layout: Callable[[str, Tensor], Tensor]
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    decoder_tables: Mapping[str, Tensor] = field(default_factory=dict)
    is_idle: Callable[[str], bool] = lambda official: False

    def load(self, state: Mapping[str, Tensor], network: nn.Module, *, part: Part = "network") -> None:
        """Load weights with published names into a network, or into its encoder alone.

        With `part="encoder"` the state may hold a decoder or none; it is not read.

        Raises:
            WeightsError: Lists what is missing, unexpected and of another shape, or a table that differs; the network is then
                unchanged.
        """
        tables = {**self.tables, **self.decoder_tables}
        require_same_tables(state, tables if part == "network" else self.tables)
        wanted = {name: value for name, value in network.state_dict().items() if belongs(name, part)}
        names = {
            official: self.our_name(official)
            for official in state
            if official not in tables and not self.is_idle(official)
        }
        foreign = [
            official for official, ours in names.items() if ours is None or (belongs(ours, part) and ours not in wanted)
        ]
        found = {ours: self.our_layout(official, state[official]) for official, ours in names.items() if ours in wanted}
        require_same_names(wanted, found, foreign=foreign)
        network.load_state_dict(found, strict=False)


def belongs(name: str, part: Part) -> bool:
    """Tell whether a weight of ours is in a part of a network."""
    return part == "network" or name.startswith(("encoder.", "embed."))


def name_in_block(official: str) -> str | None:
    """Return our name of a weight of a transformer block, given timm's; None if it is none."""
    layer, _, kind = official.rpartition(".")
    return f"{BLOCK_NAMES[layer]}.{kind}" if layer in BLOCK_NAMES and kind in ("weight", "bias") else None


def require_same_tables(state: Mapping[str, Tensor], tables: Mapping[str, Tensor]) -> None:
    """Raise WeightsError if a table of the file is not the one that the network has."""
    for name, table in tables.items():
        if name not in state:
            continue
        found, own = state[name].float().cpu(), table.float().cpu()
        if found.shape != own.shape:
            raise WeightsError(
                f"'{name}' has shape {tuple(found.shape)}, this network needs {tuple(own.shape)}: these weights are for "
                "another size of input, patch or model; choose it with --size and --set modalities.NAME.size=N"
            )
        difference = (found - own).abs().max().item()
        if difference > TABLE_TOLERANCE:
            raise WeightsError(
                f"'{name}' differs from the fixed sine-cosine table by up to {difference:.2g}: these positions were "
                "learned or ordered otherwise, and this network would read them wrongly"
            )


def require_same_names(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], *, foreign: Iterable[str]) -> None:
    """Raise WeightsError that says everything that does not fit at once."""
    missing = [name for name in wanted if name not in found]
    shapes = [
        f"{name} is {tuple(found[name].shape)}, needed {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    complaints = [
        f"{len(names)} {what}: {', '.join(names[:SHOWN_NAMES])}{', ...' if len(names) > SHOWN_NAMES else ''}"
        for what, names in (("missing", missing), ("unexpected", list(foreign)), ("of another shape", shapes))
        if names
    ]
    if missing and all(not name.startswith("encoder.") for name in missing) and len(missing) < len(wanted):
        complaints.append("the file holds an encoder without its decoder; import the encoder alone (--part encoder)")
    if complaints:
        raise WeightsError(f"these weights do not fit the network. {'; '.join(complaints)}")
