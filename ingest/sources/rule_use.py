"""Rules of the user that no file follows: a mistyped suffix must not leave a field out in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ingest.sources.fields import FieldFile, FieldRule, Naming
from shards.errors import SourceError, did_you_mean
from shards.storage import printable

_MOST_REMEMBERED = 1000
_ENDING = re.compile(r"[_\-.]")


class WatchedNaming:
    """Names files as another naming does, and remembers which rules were of use.

    Args:
        naming: What names the files.
        rules: The rules that it follows; none where there is nothing to watch.
    """

    def __init__(self, naming: Naming, rules: Sequence[FieldRule]) -> None:
        self._naming = naming
        self._rules = rules
        self.begin()

    def begin(self) -> None:
        """Forget what was named: a listing begins."""
        self._unused = list(self._rules)
        self._unmatched: list[str] = []
        self._num_unmatched = 0

    def __call__(self, path: str) -> FieldFile | None:
        """Return what the file at a path is, or None for one that is no field."""
        found = self._naming(path)
        if found is None:
            self._num_unmatched += 1
            if len(self._unmatched) < _MOST_REMEMBERED:
                self._unmatched.append(path)
        elif self._unused:
            self._unused = [rule for rule in self._unused if rule.name != found.name or rule.stem(path) != found.stem]
        return found

    def require_all_used(self) -> None:
        """Check, when all files have been named, that every rule has named one.

        Raises:
            SourceError: One has not.
        """
        for rule in self._unused:
            raise SourceError(f"--field {rule.name}={rule.suffix}: no file ends like that; {self._others(rule)}")

    def _others(self, rule: FieldRule) -> str:
        if not self._unmatched:
            return "every file that is there follows another rule, or there is none."
        like = sorted(self._unmatched, key=lambda path: rule.suffix[-4:] not in path)
        endings = {ending for path in self._unmatched for ending in _endings(path)}
        hint = did_you_mean(rule.suffix, sorted(endings))
        return f"{self._num_unmatched:,} files match no rule, e.g. {printable(like[0])}.{printable(hint)}"


def _endings(path: str) -> list[str]:
    """Return how the name of a file ends, from each `_`, `-` and `.` on."""
    name = path.rpartition("/")[2]
    return [name[found.start() :] for found in _ENDING.finditer(name)]
