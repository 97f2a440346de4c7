"""The panel of a stored target on a card: what the teacher was shown, beside it what it said, and what ids stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipelines.inspect import wording
from pipelines.inspect.allowance import Allowance
from pipelines.inspect.panels import Panel, spread
from pipelines.inspect.pictures import FEW_PIXELS, Picture, embed, embed_exactly
from pipelines.inspect.targets.colours import FeatureColours
from pipelines.inspect.targets.drawings import Components, Dense, Drawing, Drawn, Features, Glyphs, Heat, Ids, InWords
from pipelines.inspect.targets.grids import Grid, grid_of, is_map, sound_grid_of
from pipelines.inspect.targets.listing import Listed, shape_in_words
from pipelines.inspect.targets.said import Said
from pipelines.inspect.targets.seen import Looking, Seen, looking_of, pictured
from pipelines.modalities import Image, LogMel, Raster
from pipelines.tokenizers.vq.file import load_tokenizer
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from pipelines.transforms.hog import BINS, CELLS_PER_SIDE
from pipelines.views import ViewSet
from shards.dataset import Dataset
from shards.target_spec import TargetSpec
from shards.target_table import TargetTable, read_sealed

MAX_TARGETS = 8
"""Targets that are shown on a card."""
MAX_PLACES = 4
"""Pictures of a clip that are shown with what was said of them, evenly spread over it."""
MAX_ROW_BYTES = 64_000_000
"""Largest row, over all views, that is read to be shown."""

_VIEW = 0
_FITTED_TOKENS = 1 << 14
_WIDEST = 4096
"""Vectors of more values are not drawn: their principal components would take minutes."""
_HOG_VALUES = BINS * CELLS_PER_SIDE**2
_MOST_READS = 4

Samples = npt.NDArray[np.int64]
Captioned = tuple[str, Picture]
Tokenizers = Mapping[str, VqTokenizer]
"""Tokenizers by the digest of their weights."""


def load_tokenizers(paths: Sequence[Path]) -> dict[str, VqTokenizer]:
    """Return tokenizers by the digest of their weights.

    Raises:
        TokenizerFileError: There is none at a path, or it is damaged.
    """
    loaded = [load_tokenizer(path) for path in paths]
    return {tokenizer.weights_sha256: tokenizer for tokenizer in loaded}


def target_viewers(
    dataset: Dataset, listed: Sequence[Listed], ids: Samples, tokenizers: Tokenizers
) -> list[TargetViewer]:
    """Return what shows the first few sealed targets of a dataset.

    Args:
        dataset: The dataset.
        listed: Its targets.
        ids: Numbers of the samples that will be shown.
        tokenizers: What may turn ids back; one is used for the targets that were made with its very weights.
    """
    sealed = [target.sealed for target in listed if target.sealed is not None][:MAX_TARGETS]
    return [
        TargetViewer(
            TargetTable(dataset, one.spec, projection_sha256=one.projection_sha256),
            dataset,
            ids=ids,
            tokenizer=tokenizers.get(one.spec.weights_sha256 or ""),
        )
        for one in sealed
    ]


class TargetViewer:
    """Shows one stored target, sample by sample; what all samples share is made when the first is shown.

    Args:
        table: The target.
        dataset: Its dataset.
        ids: Numbers of the samples that will be shown; colours of vectors tell these apart.
        tokenizer: What turns ids back, if the user gave it.
    """

    def __init__(self, table: TargetTable, dataset: Dataset, *, ids: Samples, tokenizer: VqTokenizer | None) -> None:
        spec = self._spec = table.spec
        self.name = spec.target_id
        self.line = wording.clipped(f"{spec.teacher} · {shape_in_words(spec.shape)} · {spec.coding}", 200)
        self._said = Said(table, k=_VIEW)
        self._dataset = dataset
        self._ids = ids
        self._tokenizer = tokenizer

    def panel(self, number: int, allowance: Allowance) -> Panel:
        """Return what the teacher was shown of a sample, and what it said.

        Raises:
            CorruptShardError: The sample, or its row, is damaged.
        """
        if self._spec.row_bytes > MAX_ROW_BYTES:
            return _panel([], Drawn(words=f"Too large to be shown: {wording.size(self._spec.row_bytes)} a sample."))
        said = self._said.at(number)
        if not self._has_field(number):
            return _panel([], Drawn(words=f"The sample has no {self._field}, so zeros stand here."))
        seen = self._looking.at(number) if self._looking else None
        if seen is None:
            return _panel([], InWords()(said, (), ()))
        places = spread(len(seen.pictures), MAX_PLACES)
        drawn = self._draw(said, seen.pictures, places)
        return _panel(list(self._side_by_side(said, seen, drawn, places, allowance)), drawn)

    def _side_by_side(
        self, said: npt.NDArray[np.generic], seen: Seen, drawn: Drawn, places: Sequence[int], allowance: Allowance
    ) -> Iterator[list[Captioned]]:
        """Yield captioned pictures that belong side by side: what was shown, what was said, what ids stand for."""
        teacher, encode = self._spec.teacher, embed_exactly if drawn.is_exact else embed
        back = self._turned_back(said)
        for order, place in enumerate(places):
            row = [(seen.captions[place], _embed(seen.pictures[place], f"what {teacher} was shown", allowance))]
            if drawn.pictures:
                row.append((teacher, encode(drawn.pictures[order], f"what {teacher} said of it", allowance)))
            if back is not None:
                row.append(("turned back", _embed(back, "what the ids stand for", allowance)))
            yield row

    def _turned_back(self, ids: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8] | None:
        """Return what ids stand for, where there is a tokenizer that makes pictures of them."""
        if self._tokenizer is None or self._tokenizer.spec.gives != "input" or not self._spec.coding.holds_ids:
            return None
        modality = self._tokenizer.spec.modality
        if not isinstance(modality, Image | Raster | LogMel):
            return None
        return pictured(self._tokenizer.decode(torch.from_numpy(ids)[None])[0], modality)

    @cached_property
    def _looks_at(self) -> Mapping[str, object]:
        """What was shown to the teacher, or to that whose target the teacher reads."""
        spec = self._spec
        for _ in range(_MOST_READS):
            name = spec.looks_at.get("target")
            if name not in self._dataset.target_ids():
                break
            spec = read_sealed(self._dataset.root, str(name)).spec
        return spec.looks_at

    @property
    def _field(self) -> str:
        return str(self._looks_at.get("field", ""))

    def _has_field(self, number: int) -> bool:
        if self._field not in self._dataset.manifest.kinds:
            return True
        return int(self._dataset.column(np.array([number]), f"{self._field}.size")[0]) >= 0

    @cached_property
    def _looking(self) -> Looking | None:
        tokenised = self._tokenizer.spec.modality if self._tokenizer else _sound(self._spec.teacher_settings)
        return looking_of(self._dataset, self._looks_at, ViewSet.from_json(self._spec.views), tokenised=tokenised)

    @cached_property
    def _draw(self) -> Drawing:
        assert self._looking is not None
        modality = self._looking.modality
        if isinstance(modality, LogMel):
            grid = sound_grid_of(self._spec, modality)
        elif self._looking.times == 1 and is_map(self._spec, side=modality.size):
            return Dense(is_ids=self._spec.coding.holds_ids)
        else:
            grid = grid_of(self._spec, side=modality.size, times=self._looking.times)
        return InWords() if grid is None else drawing_of(self._spec, grid, self._colours)

    def _colours(self) -> FeatureColours:
        return FeatureColours.fit(self._said.tokens(self._ids, most=_FITTED_TOKENS))


def drawing_of(spec: TargetSpec, grid: Grid, colours: Callable[[], FeatureColours]) -> Drawing:
    """Return how a target of tokens in their places is drawn.

    Args:
        spec: What the target is.
        grid: Where its tokens are.
        colours: Chooses the colours of vectors; only asked where vectors are drawn.
    """
    rest = list(spec.shape[1:])
    if spec.coding.holds_ids:
        return Ids(grid=grid) if not rest else InWords()
    if rest in ([], [1]):
        return Heat(grid=grid)
    if len(rest) > 1 or rest[0] > _WIDEST:
        return InWords()
    if spec.teacher == "hog" and rest[0] % _HOG_VALUES == 0:
        return Glyphs(grid=grid)
    if spec.teacher == "logmel" and isqrt(rest[0]) ** 2 == rest[0]:
        return Features(grid=grid, patch=isqrt(rest[0]))
    return Components(grid=grid, colours=colours())


def _sound(settings: Mapping[str, Any]) -> LogMel | None:
    """Return the log-mel features that a teacher with these settings looks at, if they say so."""
    frames, bins, patch = (settings.get(name) for name in ("frames", "bins", "patch"))
    if not (isinstance(frames, int) and isinstance(bins, int) and isinstance(patch, int)):
        return None
    return LogMel(frames=frames, bins=bins, patch=patch)


def _embed(pixels: npt.NDArray[np.uint8], description: str, allowance: Allowance) -> Picture:
    """Encode a picture: exactly if its pixels are few enough to be told apart, else as a photograph."""
    encode = embed_exactly if max(pixels.shape[:2]) < FEW_PIXELS else embed
    return encode(pixels, description, allowance)


def _panel(rows: Sequence[Sequence[Captioned]], drawn: Drawn) -> Panel:
    content = {
        "rows": rows,
        "words": drawn.words,
        "ramp": drawn.ramp,
        "identities": drawn.identities,
        "more_ids": drawn.more_ids,
    }
    return Panel(shape="target", content=content)
