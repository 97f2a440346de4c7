"""StreamState: the exact point to resume at, and which stream it belongs to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipelines.visits import Position
from shards.errors import MaskloomError

STATE_VERSION = 2


class StreamMismatchError(MaskloomError):
    """A saved position belongs to another stream than the one that should resume from it."""


@dataclass(frozen=True, kw_only=True)
class StreamIdentity:
    """What has to be the same for a position to mean the same samples.

    Args:
        datasets: For every dataset in order, its name in the mixture and its id, as `name=id`.
        order_version: See `pipelines.order`.
        seed: Decides the order, the views and the masks.
        global_batch: Samples, or packs, per step over all ranks.
        shuffle: Lanes and blocks to a group, as `1024x4`.
        weights: Of every dataset, as `step:weight` by rising steps; empty for a single dataset.
        packing: Capacity, window and lengths of packs; empty where nothing is packed.
    """

    datasets: str
    order_version: int
    seed: int
    global_batch: int
    shuffle: str
    weights: str
    packing: str


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """Where a stream stands, a few hundred bytes, the same on every rank: before global batch `position.step`."""

    identity: StreamIdentity
    position: Position

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"version": STATE_VERSION, "identity": asdict(self.identity), "position": self.position.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StreamState":
        """Return the state that `to_json` wrote.

        Raises:
            StreamMismatchError: It was written by another version, or is not a state at all.
        """
        wanted = {"identity": StreamIdentity, "position": Position}
        is_known = (
            data.get("version") == STATE_VERSION
            and set(data) == {"version", *wanted}
            and all(_has_fields_of(kind, data[name]) for name, kind in wanted.items())
            and all(map(_is_of_numbers, data["position"].values()))
        )
        if not is_known:
            raise StreamMismatchError(
                f"The saved position in the data is {data!r}; this version of maskloom reads version {STATE_VERSION} of it. "
                "Resume with the maskloom that wrote it."
            )
        position: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data["position"].items()
        }
        return cls(identity=StreamIdentity(**data["identity"]), position=Position(**position))

    def require_same_stream(self, saved: "StreamState") -> None:
        """Raise StreamMismatchError, naming both values, unless a saved state belongs to this stream."""
        for field in fields(StreamIdentity):
            ours, theirs = getattr(self.identity, field.name), getattr(saved.identity, field.name)
            if ours != theirs:
                raise StreamMismatchError(
                    f"The saved position belongs to a stream with {field.name} {theirs}, but this stream has {field.name} "
                    f"{ours}. Resume with the same {field.name}, or start a new run."
                )
        expected = len(self.position.counters)
        if not saved.position.is_sound(expected):
            raise StreamMismatchError(
                f"The saved position {saved.position} makes no sense for a stream of {expected} datasets: the file that it was "
                "read from is damaged."
            )


def _is_of_numbers(value: object) -> bool:
    """Tell whether JSON is a whole number or a list of them."""
    return all(type(number) is int for number in (value if isinstance(value, list) else [value]))


def _has_fields_of(kind: type, data: object) -> bool:
    """Tell whether JSON is an object with the fields of a dataclass."""
    return isinstance(data, Mapping) and set(data) == {field.name for field in fields(kind)}
