"""What becomes of samples that turn out to be damaged: refused, or replaced, counted and written down.

A replaced sample leaves all others where they are: whoever stands in for it is drawn by a fixed rule from
`(seed, epoch, id)`, so a stream with damaged samples is as reproducible as any other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipelines.json_lines import append_line, complete_lines
from pipelines.randomness import hash_key
from shards.errors import CorruptShardError, DatasetError

MAX_REPLACEMENTS = 8
"""Samples that are tried, one after the other, in the place of a damaged one."""

MAX_DRAWS = 256
"""Samples of which one has to fit in the place of a damaged one."""

_LISTED = 3


class TooMuchDamageError(DatasetError):
    """More samples are damaged than a stream may replace."""


@dataclass(frozen=True, kw_only=True)
class DamagedSample:
    """A sample that could not be used.

    Args:
        step: Global batch in which it was wanted, from 0.
        dataset: Name of the dataset among those that are mixed; empty for a single one.
        sample: Its number in the dataset.
        epoch: How often the dataset has been gone through before.
        replaced_by: Number of the sample that is tried in its place.
        kind: What is wrong: `payload`, `header`, `truncated`, `missing`, `target`, `decode` or `unreachable`.
        shard: The file where it stands, as far as that is known.
        key: Its key, likewise.
        field: The field that is damaged, likewise.
        message: The error in words.
    """

    step: int
    dataset: str
    sample: int
    epoch: int
    replaced_by: int
    kind: str
    shard: str
    key: str
    field: str
    message: str


Fits = Callable[[int], bool]
"""Tells whether a sample may stand in for another one, as in a pack that has no room for a longer one."""


@runtime_checkable
class DamagePolicy(Protocol):
    """Decides what becomes of a damaged sample."""

    def replacement(
        self, sample: int, *, epoch: int, attempt: int, num_samples: int, error: CorruptShardError, fits: Fits
    ) -> int:
        """Return the number of the sample to try instead, or raise `error`.

        Args:
            sample: Number of the sample that the order asked for.
            epoch: Its epoch.
            attempt: How many samples have been tried before, from 0.
            num_samples: Samples in the dataset.
            error: What is wrong with the sample that was tried last.
            fits: Which samples may stand in.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RaiseOnDamage:
    """The first damaged sample is an error."""

    def replacement(
        self, sample: int, *, epoch: int, attempt: int, num_samples: int, error: CorruptShardError, fits: Fits
    ) -> int:
        """Raise `error`; see DamagePolicy."""
        raise error


@dataclass(frozen=True, kw_only=True)
class SubstituteDamaged:
    """Another sample of the same dataset stands in, the first that fits of those drawn from `(seed, epoch, sample)`.

    After `MAX_REPLACEMENTS` damaged samples in a row, or if none of `MAX_DRAWS` samples fits, the last error is raised: then it
    is not a few samples that are damaged, or no sample could take the place.
    """

    seed: int

    def replacement(
        self, sample: int, *, epoch: int, attempt: int, num_samples: int, error: CorruptShardError, fits: Fits
    ) -> int:
        """Return the number of the sample to try instead; see DamagePolicy."""
        if attempt < MAX_REPLACEMENTS and num_samples > 1:
            for draw in range(MAX_DRAWS):
                drawn = hash_key(self.seed, epoch, "substitute", attempt, draw, sample) % (num_samples - 1)
                instead = drawn + (drawn >= sample)
                if fits(instead):
                    return instead
        raise error


class DamageLedger:
    """Counts damaged samples, writes each of them down once, and stops a stream that has too many.

    Args:
        path: A file of one JSON object per line, which is continued if it is there; None writes nothing.
        budget: The most damaged samples that are put up with, those in the files included.
        others: What other ranks have written down before; their samples are counted, and not written again.

    Raises:
        DamagedLinesError: A file is there, and cannot be understood.
    """

    def __init__(self, path: Path | None, *, budget: int, others: Sequence[Path] = ()) -> None:
        self._path = path
        self._budget = budget
        files = [*others, *([] if path is None else [path])]
        self._seen = {_sample(line) for file in files for _, line in complete_lines(file)}

    def __len__(self) -> int:
        return len(self._seen)

    def record(self, found: Sequence[DamagedSample]) -> None:
        """Write down samples that are not there yet: every epoch, and a stream that resumes, meets them again.

        Raises:
            TooMuchDamageError: More samples are damaged than the budget allows; names the last of them.
            StorageError: The file cannot be written.
        """
        for damage in found:
            if _sample(asdict(damage)) not in self._seen:
                self._seen.add(_sample(asdict(damage)))
                if self._path is not None:
                    append_line(self._path, asdict(damage))
        if found and len(self._seen) > self._budget:
            listed = f" All are listed in {self._path}." if self._path is not None else ""
            raise TooMuchDamageError(
                f"{len(self._seen)} samples are damaged, more than the {self._budget} that may be replaced.{listed} "
                f"The last: {'; '.join(damage.message for damage in found[-_LISTED:])}"
            )


def _sample(damage: Mapping[str, Any]) -> tuple[Any, ...]:
    return damage["dataset"], damage["sample"]
