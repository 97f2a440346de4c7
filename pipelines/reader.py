"""BatchReader: from visits to a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Shaped
from torch import Tensor

from pipelines.batch import Batch
from pipelines.component import Component, ComponentReader
from pipelines.damage import DamagePolicy
from pipelines.encoded import EncodedPictures
from pipelines.filling import Filling
from pipelines.masking.plan import JointMasking, MaskContext, Masking, MaskPlan
from pipelines.masking.separate import Separate
from pipelines.modalities import Image, LogMel, Modality, Text, Tokens, Waveform
from pipelines.randomness import Draws
from pipelines.rows import allocate
from pipelines.views import ViewSet, ViewSource
from pipelines.visits import Visits
from shards.errors import MissingFieldError, MissingTargetError, SettingsError, did_you_mean
from shards.target_table import TargetTable

Maskings = Mapping[str, Masking] | JointMasking
"""The masking of each modality by its name, or one for several together."""


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

    def __post_init__(self) -> None:
        _require_distinct([modality.name for modality in self.modalities])
        for modality in self.modalities:
            _require_look(modality, self.looks)
            _require_held(modality, self.components)
        _require_known_maskings(self.masking, self.modalities)
        _require_pictures(self.encoded, self.modalities)
        _require_same_stored(self.components)
        # Whatever does not fit is refused now, not by the first batch.
        assert self.look_of_stored is not None
        assert self.blank_rows is not None

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
    def has_labels(self) -> bool:
        """Whether any of the datasets has labels."""
        return any("label" in component.dataset.manifest.fields for component in self.components)

    @cached_property
    def varying(self) -> frozenset[str]:
        """Names of the modalities of which samples may have fewer tokens than there is room for, or none."""
        return frozenset(
            modality.name
            for modality in self.modalities
            if not isinstance(modality, Tokens)
            and (
                isinstance(modality, LogMel | Waveform | Text)
                or any(
                    component.dataset.num_with(modality.field) < component.dataset.num_samples
                    for component in self.components
                )
            )
        )

    def allocate(self, rows: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Return memory for the inputs, the lengths and the stored targets of a batch."""
        inputs = {name: allocate(blank, rows) for name, blank in self.blank_rows.items()}
        lengths = {name: torch.zeros(rows, dtype=torch.int64) for name in sorted(self.varying)}
        stored = {
            name: allocate(torch.empty((1, *table.spec.shape), dtype=getattr(torch, table.spec.dtype)), rows)
            for name, table in self.components[0].stored.items()
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
        tokens = [modality for modality in self.modalities if isinstance(modality, Tokens)]
        inputs = filled.inputs | {modality.name: _as_ids(filled.stored[modality.stored]) for modality in tokens}
        return Batch(
            keys=tuple(filled.keys),
            visits=filled.visits,
            inputs=inputs,
            lengths=filled.lengths,
            plans=self._plans(filled, inputs),
            stored=filled.stored,
            labels=torch.from_numpy(filled.labels) if self.has_labels else None,
            damage=tuple(filled.damage),
            step=step,
            encoded={
                modality.name: EncodedPictures(modality=modality, pictures=tuple(filled.encoded[modality.name]))
                for modality in self.modalities
                if modality.name in self.encoded and isinstance(modality, Image)
            },
        )

    def _plans(self, filled: Filling, inputs: Mapping[str, Tensor]) -> dict[str, MaskPlan]:
        if not self.masking:
            return {}
        context = MaskContext(
            draws=Draws.of(filled.keys, epochs=filled.visits.epochs.tolist(), seed=self.seed),
            inputs=inputs,
            stored=filled.stored,
            lengths=filled.lengths,
        )
        if not isinstance(self.masking, Mapping):
            return self.masking.plan_jointly(context, modalities=self.modalities)
        masked = [modality for modality in self.modalities if modality.name in self.masking]
        return Separate(maskings=self.masking).plan_jointly(context, modalities=masked)

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


def _as_ids(rows: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch tokens"]:
    """Return stored token ids as int64, the places of the grid in one row."""
    return rows.flatten(1).long()


def _require_distinct(names: Sequence[str]) -> None:
    if not names:
        raise SettingsError("A stream needs at least one modality; none was given.")
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"Several modalities have the name '{name}'; give each a name of its own.")


def _require_known_maskings(masking: Maskings, modalities: Sequence[Modality]) -> None:
    names = [modality.name for modality in modalities]
    for name in masking if isinstance(masking, Mapping) else ():
        if name not in names:
            raise SettingsError(
                f"There is a masking for '{name}', but the modalities are {', '.join(names)}.{did_you_mean(name, names)}"
            )


def _require_pictures(names: frozenset[str], modalities: Sequence[Modality]) -> None:
    pictures = [modality.name for modality in modalities if isinstance(modality, Image)]
    for name in sorted(names):
        if name not in pictures:
            raise SettingsError(
                f"'{name}' should be decoded on the device, but the pictures of the stream are "
                f"{', '.join(pictures) or 'none'}; nothing else can be.{did_you_mean(name, pictures)}"
            )


def _require_look(modality: Modality, looks: Sequence[ViewSource]) -> None:
    if not 0 <= modality.look < len(looks):
        raise SettingsError(
            f"The modality '{modality.name}' shows look {modality.look}, but there are views for looks 0..{len(looks) - 1}."
        )
    size = getattr(modality, "size", None)
    if size is not None and size != looks[modality.look].size:
        raise SettingsError(
            f"The modality '{modality.name}' takes pictures of {size} pixels, but the views have "
            f"{looks[modality.look].size}."
        )


def _require_held(modality: Modality, components: Sequence[Component]) -> None:
    """Raise unless some dataset holds what a modality shows."""
    name = modality.stored if isinstance(modality, Tokens) else modality.field
    if isinstance(modality, Tokens):
        held = {name for component in components for name in component.stored}
        if name not in held:
            raise MissingTargetError(
                f"The modality '{modality.name}' reads the stored target '{name}', but the stream was given "
                f"{', '.join(sorted(held)) or 'none'}.{did_you_mean(name, held)}"
            )
        return
    held = {name for component in components for name in component.dataset.manifest.fields}
    if name not in held:
        roots = ", ".join(str(component.dataset.root) for component in components)
        raise MissingFieldError(
            f"A modality reads the field '{name}', but {roots} holds only {', '.join(sorted(held))}."
            f"{did_you_mean(name, held)}"
        )


def _require_same_stored(components: Sequence[Component]) -> None:
    """Raise unless all datasets bring the same stored targets."""
    first = components[0]
    for component in components[1:]:
        for name in {*first.stored, *component.stored}:
            if name not in first.stored or name not in component.stored:
                lacking = component if name in first.stored else first
                raise MissingTargetError(
                    f"The dataset '{lacking.name}' of the mixture brings no stored target '{name}', as another one does. "
                    f"Make it with `maskloom targets {lacking.dataset.root}`."
                )
            ours, theirs = first.stored[name].spec, component.stored[name].spec
            if (ours.shape, ours.dtype, ours.views) != (theirs.shape, theirs.dtype, theirs.views):
                raise SettingsError(
                    f"The stored target '{name}' is {ours.dtype} {ours.shape} in '{first.name}' and {theirs.dtype} "
                    f"{theirs.shape} in '{component.name}', or of other views; a mixture needs the same everywhere."
                )
