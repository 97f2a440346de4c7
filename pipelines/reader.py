"""BatchReader: from visits to a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.classes import Classes
from pipelines.component import Component, ComponentReader
from pipelines.damage import DamagePolicy
from pipelines.encoded import EncodedPictures
from pipelines.filling import Filling
from pipelines.fitting import (
    require_distinct,
    require_held,
    require_known_maskings,
    require_look,
    require_pictures,
    require_same_settings,
    require_same_stored,
    require_shown,
    require_stored,
)
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.separate import Maskings, plans_of
from pipelines.modalities import Features, Image, LogMel, Modality, Stored, Text, Tokens, Waveform
from pipelines.randomness import Draws
from pipelines.rows import allocate
from pipelines.target_coding import decoder_of
from pipelines.views import ViewSet, ViewSource
from pipelines.visits import LengthsOf, Visits
from shards.errors import SettingsError
from shards.schema import LABEL
from shards.target_table import TargetTable


@dataclass(frozen=True, kw_only=True)
class BatchReader:
    """Reads, decodes, renders and masks the samples of one batch; holds no state, so any process may read any batch.

    Args:
        components: The datasets that visits refer to.
        modalities: What is rendered; all modalities of a look share a view.
        looks: The views of each look.
        masking: Who is visible and who is predicted; a modality without a masking gets no plan.
        damage: What becomes of damaged samples.
        encoded: Names of picture modalities that are left as they are stored, for a device that decodes them.
        lengths_of: Where samples are packed by length, what tells their lengths: none stands in for a shorter one.
        seed: Decides views and masks.

    Raises:
        SettingsError: The parts do not fit together.
        MissingFieldError: A dataset does not hold the field of a modality.
        MissingTargetError: A dataset does not hold a stored target that another one holds, or that a modality reads.
    """

    components: tuple[Component, ...]
    modalities: tuple[Modality, ...]
    looks: tuple[ViewSource, ...]
    masking: Maskings
    damage: DamagePolicy
    seed: int
    encoded: frozenset[str] = frozenset()
    lengths_of: LengthsOf | None = None

    def __post_init__(self) -> None:
        require_distinct([modality.name for modality in self.modalities])
        for modality in self.modalities:
            require_look(modality, self.looks)
            require_held(modality, self.components)
        require_known_maskings(self.masking if isinstance(self.masking, Mapping) else {}, self.modalities)
        require_pictures(self.encoded, self.modalities)
        require_same_stored(self.components)
        # Whatever does not fit is refused now, not by the first batch.
        assert self.look_of_stored is not None
        assert self.blank_rows is not None
        for modality in self.modalities:
            if isinstance(modality, Stored):
                require_stored(modality, self.components[0].stored[modality.stored], self.looks)
            else:
                require_shown(modality, self.modalities, self.components)
                require_same_settings(modality, self.components)

    @cached_property
    def readers(self) -> tuple[ComponentReader, ...]:
        """What reads each of the datasets."""
        return tuple(
            ComponentReader(component, self.modalities, self.looks, self.encoded, self.seed)
            for component in self.components
        )

    @cached_property
    def look_of_stored(self) -> Mapping[str, int]:
        """For each stored target, the look whose views it was computed on."""
        return {name: self._look_of(name, table) for name, table in self.components[0].stored.items()}

    @cached_property
    def blank_rows(self) -> Mapping[str, Shaped[Tensor, "1 ..."]]:
        """What a sample without a modality shows of it, by the name of the modality."""
        renderers = {name: found for reader in self.readers for name, found in reader.renderers.items()}
        return {name: renderer.empty(1) for name, renderer in renderers.items() if name not in self.encoded}

    @cached_property
    def num_tokens(self) -> Mapping[str, int]:
        """Tokens of each modality, by its name."""
        return {modality.name: modality.num_tokens for modality in self.modalities}

    @cached_property
    def classes(self) -> Classes:
        """The numbers of the classes of all datasets."""
        return Classes.of([component.dataset for component in self.components])

    @cached_property
    def has_labels(self) -> bool:
        """Whether any of the datasets has labels."""
        return any(LABEL in component.dataset.manifest.fields for component in self.components)

    @cached_property
    def varying(self) -> frozenset[str]:
        """Names of the modalities of which samples may have fewer tokens than there is room for, or none."""
        return frozenset(
            modality.name
            for modality in self.modalities
            if not isinstance(modality, Stored)
            and (
                isinstance(modality, LogMel | Waveform | Text)
                or any(
                    component.dataset.num_with(modality.field) < component.dataset.num_samples
                    for component in self.components
                )
            )
        )

    def allocate(self, rows: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[tuple[str, int], Tensor]]:
        """Return memory for the inputs, the lengths, and the stored targets of a batch by name and look."""
        inputs = {name: allocate(blank, rows) for name, blank in self.blank_rows.items()}
        lengths = {name: torch.zeros(rows, dtype=torch.int64) for name in sorted(self.varying)}
        tables = self.components[0].stored
        shown = {(modality.stored, modality.look) for modality in self.modalities if isinstance(modality, Stored)}
        stored = {
            place: allocate(_row_of(tables[place[0]]), rows) for place in sorted({*self.look_of_stored.items(), *shown})
        }
        return inputs, lengths, stored

    def read(self, visits: Visits, *, step: int) -> Batch:
        """Return the batch of some visits.

        Raises:
            CorruptShardError: Stored bytes are damaged and are not to be replaced; names dataset and key.
            MissingFieldError: A sample has none of the modalities.
            SettingsError: What is stored does not fit its modality.
        """
        filled = Filling(self, visits, step=step).fill()
        stored = {name: filled.stored[name, look] for name, look in self.look_of_stored.items()}
        inputs = filled.inputs | {
            modality.name: self._stored_input(modality, filled.stored[modality.stored, modality.look])
            for modality in self.modalities
            if isinstance(modality, Stored)
        }
        return Batch(
            keys=tuple(filled.keys),
            visits=filled.visits,
            inputs=inputs,
            lengths=filled.lengths,
            plans=self._plans(filled, inputs, stored),
            stored=stored,
            labels=torch.from_numpy(filled.labels) if self.has_labels else None,
            damage=tuple(filled.damage),
            step=step,
            encoded={
                modality.name: EncodedPictures(modality=modality, pictures=tuple(filled.encoded[modality.name]))
                for modality in self.modalities
                if modality.name in self.encoded and isinstance(modality, Image)
            },
        )

    def _stored_input(self, modality: Stored, rows: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch ..."]:
        """Return rows of a stored target as the input that they are."""
        if isinstance(modality, Features):
            return decoder_of(self.components[0].stored[modality.stored])(rows)
        return _as_ids(rows, modality)

    def _plans(
        self, filled: Filling, inputs: Mapping[str, Tensor], stored: Mapping[str, Tensor]
    ) -> dict[str, MaskPlan]:
        if not self.masking:
            return {}
        context = MaskContext(
            draws=Draws.of(filled.keys, epochs=filled.visits.epochs.tolist(), seed=self.seed),
            inputs=inputs,
            stored=stored,
            lengths=filled.lengths,
        )
        return plans_of(self.masking, context, self.modalities)

    def _look_of(self, name: str, table: TargetTable) -> int:
        """Return the look that replays the views of a stored target."""
        recorded = ViewSet.from_json(table.spec.views)
        for look, views in enumerate(self.looks):
            if views == recorded:
                return look
        raise SettingsError(
            f"The stored target '{name}' was computed on {recorded}, but the stream looks at "
            f"{', '.join(map(str, self.looks))}. A stored target belongs to its own views: give the stream "
            "ViewSet.from_json(table.spec.views)."
        )


def _row_of(table: TargetTable) -> Shaped[Tensor, "1 ..."]:
    return torch.empty((1, *table.spec.stored_shape), dtype=getattr(torch, table.spec.dtype))


def _as_ids(rows: Shaped[Tensor, "batch ..."], tokens: Tokens) -> Shaped[Tensor, "batch places"]:
    """Return stored token ids as int64, the places of the grid in one row.

    Raises:
        SettingsError: An id is not one of the vocabulary.
    """
    ids = torch.from_numpy(rows.flatten(1).numpy().astype(np.int64))
    if len(ids) and int(ids.max()) >= tokens.vocabulary:
        raise SettingsError(
            f"The tokens '{tokens.name}' have a vocabulary of {tokens.vocabulary}, but '{tokens.stored}' holds the id "
            f"{int(ids.max())}. Give the modality the vocabulary of the tokenizer that the target was made with."
        )
    return ids
