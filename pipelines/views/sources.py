"""Which view of a sample an epoch looks at: a fresh one, or one of the named views of stored targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pipelines.permutation import Int64s
from pipelines.randomness import hash_key
from pipelines.views.naming import TIME_POLICIES, VIEW_POLICIES, policy_from_json, policy_to_json, require_names
from pipelines.views.view import ALWAYS, Extent, TimePolicy, View, ViewPolicy, ticket_of
from shards.errors import SettingsError


@runtime_checkable
class ViewSource(Protocol):
    """Chooses which view of a sample an epoch looks at."""

    @property
    def size(self) -> int:
        """The side of every view in pixels, after rendering; 0 for views without a picture."""
        ...

    @property
    def num_frames(self) -> int:
        """How many frames every view of a sample with frames shows; 0 for views without frames."""
        ...

    def numbers(self, keys: Sequence[str], *, epochs: Int64s, seed: int, look: int = 0) -> Int64s:
        """Return the numbers of the views that `choose` returns for some samples, where the views are not needed."""
        ...

    def choose(self, key: str, *, epoch: int, seed: int, extent: Extent, look: int = 0) -> tuple[int, View]:
        """Return the number of the view and the view; a pure function.

        Args:
            key: The sample.
            epoch: The epoch.
            seed: The seed of the stream.
            extent: How large the sample is.
            look: Which of several looks at the sample in one epoch; each has a view of its own.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FreshViews:
    """A new view of every sample in every epoch: epoch e looks at view e of the policies under the seed of the stream.

    Looks above 0 have a seed of their own, hashed from that of the stream.

    Args:
        policy: Where views look; None for sound, clouds and text, which have no picture.
        time: When they look; None for all sound and no frames.
    """

    policy: ViewPolicy | None
    time: TimePolicy | None = None

    @property
    def size(self) -> int:
        """See ViewSource."""
        return _size_of(self.policy)

    @property
    def num_frames(self) -> int:
        """See ViewSource."""
        return _num_frames_of(self.time)

    def numbers(self, keys: Sequence[str], *, epochs: Int64s, seed: int, look: int = 0) -> Int64s:
        """Return the epochs; see ViewSource."""
        return epochs

    def choose(self, key: str, *, epoch: int, seed: int, extent: Extent, look: int = 0) -> tuple[int, View]:
        """Return the number of the view and the view; see ViewSource."""
        own_seed = hash_key(seed, "look", look) if look else seed
        return epoch, _view_of(self.policy, self.time, key, epoch, extent=extent, seed=own_seed)


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """The named views of stored targets: views 0 .. count-1 of the policies under the set's own `seed`.

    Args:
        policy: Where views look; None for views without a picture.
        count: How many views there are.
        seed: Decides all of them.
        time: When they look; None for all sound and no frames.

    Raises:
        SettingsError: The set is empty.
    """

    policy: ViewPolicy | None
    count: int
    seed: int
    time: TimePolicy | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SettingsError(f"A set of {self.count} views was asked for; it needs at least one.")

    @property
    def size(self) -> int:
        """See ViewSource."""
        return _size_of(self.policy)

    @property
    def num_frames(self) -> int:
        """See ViewSource."""
        return _num_frames_of(self.time)

    def view(self, key: str, k: int, *, extent: Extent) -> View:
        """Return view `k` of the sample `key`, which is as large as `extent` says; a pure function.

        Raises:
            IndexError: There is no such view in the set.
        """
        if not 0 <= k < self.count:
            raise IndexError(f"View {k} of sample '{key}' was asked for; the set has views 0..{self.count - 1}.")
        return _view_of(self.policy, self.time, key, k, extent=extent, seed=self.seed)

    def numbers(self, keys: Sequence[str], *, epochs: Int64s, seed: int, look: int = 0) -> Int64s:
        """Return the numbers of views of the set; see ViewSource.

        That of look 0 is drawn by `(seed, epoch, key)`, those of further looks follow it in turn: all are different
        as long as there are as many views, and each alone is any view with equal probability.
        """
        if self.count == 1:
            return np.zeros(len(keys), np.int64)
        drawn = (hash_key(seed, epoch, "choose view", key) for key, epoch in zip(keys, epochs.tolist(), strict=True))
        return np.array([(number + look) % self.count for number in drawn], np.int64)

    def choose(self, key: str, *, epoch: int, seed: int, extent: Extent, look: int = 0) -> tuple[int, View]:
        """Return a view of the set and its number; see ViewSource."""
        k = int(self.numbers([key], epochs=np.array([epoch]), seed=seed, look=look)[0])
        return k, self.view(key, k, extent=extent)

    def to_json(self) -> dict[str, Any]:
        """Return the set as JSON values: policy, parameters, count, seed, and `time` if there is such a policy."""
        written = policy_to_json(self.policy) | {"count": self.count, "seed": self.seed}
        return written if self.time is None else written | {"time": policy_to_json(self.time)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ViewSet":
        """Return the set that `to_json` wrote.

        Raises:
            SettingsError: A policy, or one of its parameters, is unknown or missing.
        """
        require_names("view set", data, ("policy", "parameters", "count", "seed"), may_have=("time",))
        time = policy_from_json(data["time"], TIME_POLICIES) if "time" in data else None
        policy = policy_from_json({name: data[name] for name in ("policy", "parameters")}, VIEW_POLICIES)
        return ViewSet(policy=policy, count=data["count"], seed=data["seed"], time=time)


@dataclass(frozen=True, kw_only=True)
class NamedView:
    """Always view `k` of a set: what a teacher is shown, and a person who wants to see what it was shown."""

    views: ViewSet
    k: int

    @property
    def size(self) -> int:
        """See ViewSource."""
        return self.views.size

    @property
    def num_frames(self) -> int:
        """See ViewSource."""
        return self.views.num_frames

    def numbers(self, keys: Sequence[str], *, epochs: Int64s, seed: int, look: int = 0) -> Int64s:
        """See ViewSource."""
        return np.full(len(keys), self.k)

    def choose(self, key: str, *, epoch: int, seed: int, extent: Extent, look: int = 0) -> tuple[int, View]:
        """See ViewSource."""
        return self.k, self.views.view(key, self.k, extent=extent)


def _size_of(policy: ViewPolicy | None) -> int:
    return 0 if policy is None else policy.size


def _num_frames_of(time: TimePolicy | None) -> int:
    return 0 if time is None else time.num_frames


def _view_of(
    policy: ViewPolicy | None, time: TimePolicy | None, key: str, k: int, *, extent: Extent, seed: int
) -> View:
    """Return view `k` of a sample by both policies; a sample that has no picture has no box."""
    view = View()
    if policy is not None and extent.height > 0 and extent.width > 0:
        view = policy.view(key, k, height=extent.height, width=extent.width, seed=seed)
    moment = ALWAYS if time is None else time.moment(key, k, extent=extent, seed=seed)
    # This runs for every sample; dataclasses.replace would take several times as long.
    return View(
        top=view.top,
        left=view.left,
        height=view.height,
        width=view.width,
        flip=view.flip,
        size=view.size,
        colours=view.colours,
        frames=moment.frames,
        start=moment.start,
        seconds=moment.seconds,
        ticket=ticket_of(key, k, seed=seed),
    )
