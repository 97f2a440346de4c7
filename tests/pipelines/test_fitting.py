"""Parts of a stream that do not fit together, refused before anything is read; and classes of several datasets."""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.classes import Classes
from pipelines.damage import SubstituteDamaged
from pipelines.modalities import Features, Image, LogMel, Modality, Text, Tokens, Waveform
from pipelines.packing import FactLength, Packing
from pipelines.stream import Component, Stream
from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.transforms.logmel_spec import LogMelSpec
from pipelines.views import CenterCrop, FreshViews, ViewSet
from shards.adopt import adopt
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError
from shards.target_spec import Coding
from shards.target_table import TargetTable
from tests.pipelines.stored_targets import spec_of

MakeShard = Callable[[Path, dict[str, bytes]], None]
IMAGE = Image(size=16, patch=4)
TEXT = Text(length=64, tokenizer=ByteTokenizer())
VIEWS = ViewSet(policy=CenterCrop(size=16), count=4, seed=0)


class Numbered(TargetTable):
    """A stored target whose rows hold the number of their view."""

    def __init__(self, *, shape: tuple[int, ...] = (4,), dtype: str = "uint16", vocabulary: int | None = None) -> None:
        self.spec: Any = SimpleNamespace(
            views=VIEWS.to_json(),
            shape=shape,
            stored_shape=shape,
            dtype=dtype,
            coding=Coding(dtype=dtype),
            vocabulary=vocabulary,
        )

    def read(self, ids: np.ndarray, k: np.ndarray) -> np.ndarray:
        rows = np.broadcast_to(k.reshape(-1, *[1] * len(self.spec.shape)), (len(ids), *self.spec.shape))
        return rows.astype(self.spec.dtype)


def open_stream(component: Component, *modalities: Modality, **changed: Any) -> Stream:
    settings: dict[str, Any] = {"views": [VIEWS, VIEWS], "masking": {}, "global_batch": 8, "seed": 0}
    return Stream([component], modalities=modalities, **settings | changed)


def tokens(**changed: Any) -> Tokens:
    return Tokens(**{"stored": "vq", "grid": (2, 2), "vocabulary": 9} | changed)


def test_tokens_of_a_look_are_those_of_the_views_of_that_look(dataset: Dataset) -> None:
    component = Component(dataset=dataset, stored={"vq": Numbered()})
    first, second = tokens(name="first"), tokens(name="second", look=1)
    for batch in islice(open_stream(component, first, second), 4):
        expected = [
            [VIEWS.numbers([key], epochs=np.array([0]), seed=0, look=look)[0] for key in batch.keys] for look in (0, 1)
        ]
        assert batch.inputs["first"][:, 0].tolist() == expected[0] == batch.stored["vq"][:, 0].tolist()
        assert batch.inputs["second"][:, 0].tolist() == expected[1]
        assert expected[0] != expected[1]


@pytest.mark.parametrize(
    ("table", "changed", "message"),
    [
        ({"shape": (16, 108), "dtype": "float16"}, {}, r"4 ids on the grid \(2, 2\), but .* float16 \(16, 108\)"),
        ({"shape": (5,)}, {}, r"holds uint16 \(5,\)"),
        ({"vocabulary": 8}, {}, "a tokenizer of 8. Give the modality vocabulary=8"),
        ({}, {"views": [FreshViews(policy=CenterCrop(size=16))]}, "was computed on"),
        ({}, {"views": [VIEWS, FreshViews(policy=CenterCrop(size=16))]}, "show look 1, whose views"),
    ],
)
def test_a_stored_target_that_is_no_map_of_tokens_is_refused(
    dataset: Dataset, table: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    component = Component(dataset=dataset, stored={"vq": Numbered(**table)})
    look = 1 if "look 1" in message else 0
    with pytest.raises(SettingsError, match=message):
        open_stream(component, tokens(look=look), **changed)


def test_features_are_an_input_as_their_teacher_said_them(dataset: Dataset) -> None:
    component = Component(dataset=dataset, stored={"clip": Numbered(shape=(4, 3), dtype="float16")})
    batch = next(open_stream(component, Features(stored="clip", grid=(2, 2), dim=3)))
    assert batch.inputs["clip"].dtype == torch.float32
    assert torch.equal(batch.inputs["clip"], batch.stored["clip"].float())


def test_features_of_another_shape_and_ids_are_refused_as_features(dataset: Dataset) -> None:
    for table in (Numbered(shape=(4, 5), dtype="float16"), Numbered(shape=(4, 3), dtype="uint16")):
        component = Component(dataset=dataset, stored={"clip": table})
        with pytest.raises(SettingsError, match="are 3 values at 4 places of the grid"):
            open_stream(component, Features(stored="clip", grid=(2, 2), dim=3))


def test_an_id_beyond_the_vocabulary_is_refused(dataset: Dataset) -> None:
    component = Component(dataset=dataset, stored={"vq": Numbered()})
    with pytest.raises(SettingsError, match="vocabulary of 2, but 'vq' holds the id 3"):
        list(islice(open_stream(component, tokens(vocabulary=2)), 20))


@pytest.mark.parametrize(
    ("column", "nearest"), [("txt.characters", "text.characters"), ("text.chars", "text.characters")]
)
def test_a_length_that_no_index_keeps_is_refused(
    tmp_path: Path, make_shard: MakeShard, column: str, nearest: str
) -> None:
    dataset = captions(tmp_path, make_shard, {"a": "one"})
    packing = Packing(capacity=64, lengths={"text": FactLength(column=column, at_most=64)})
    with pytest.raises(MissingFieldError, match=f"'{column}', which no index .* Did you mean '{nearest}'"):
        open_stream(Component(dataset=dataset), TEXT, views=FreshViews(policy=None), packing=packing)


def captions(root: Path, make_shard: MakeShard, texts: Mapping[str, str]) -> Dataset:
    make_shard(root / "a.tar", {f"{key}.txt": text.encode() for key, text in texts.items()})
    adopt(root)
    return Dataset.open(root)


def test_who_stands_in_for_a_damaged_sample_fits_into_its_pack(tmp_path: Path, make_shard: MakeShard) -> None:
    texts = {f"s{number:03d}": "w" * (4 + number % 40) for number in range(200)}
    dataset = captions(tmp_path, make_shard, texts)
    data = bytearray((tmp_path / "a.tar").read_bytes())
    for number in range(0, 200, 7):
        data[data.index(f"s{number:03d}.txt".encode()) + 512] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    length = FactLength(column="text.characters", extra=2, at_most=64)
    stream = open_stream(
        Component(dataset=dataset),
        TEXT,
        views=FreshViews(policy=None),
        packing=Packing(capacity=64, lengths={"text": length}, window=100),
        damage=SubstituteDamaged(seed=0),
    )
    replaced = 0
    for batch in islice(stream, 12):
        replaced += len(batch.damage)
        loads = np.bincount(batch.visits.packs, weights=batch.lengths["text"].numpy())  # type: ignore[arg-type]
        assert loads.max() <= 64
    assert replaced > 5


def described(
    dataset: Dataset, *, classes: tuple[str, ...] | None = None, settings: dict[str, Any] | None = None
) -> Dataset:
    """Return a dataset whose manifest says something else."""
    manifest = dataset.manifest
    return Dataset(
        dataset.root,
        replace(manifest, classes=classes, settings=manifest.settings if settings is None else settings),
        dataset.dataset_id,
    )


def test_labels_of_a_mixture_are_places_in_the_names_of_all(dataset: Dataset) -> None:
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    first, second = described(dataset, classes=digits), described(dataset, classes=tuple(reversed(digits)))
    components = [Component(dataset=first, name="a"), Component(dataset=second, name="b")]
    stream = Stream(components, modalities=[IMAGE], views=CenterCrop(size=16), masking={}, global_batch=24, seed=0)
    for batch in islice(stream, 5):
        assert batch.labels is not None
        own = [int(key[-4:]) % 10 for key in batch.keys]
        expected = [9 - label if place else label for label, place in zip(own, batch.visits.datasets, strict=True)]
        assert batch.labels.tolist() == expected


def test_numbers_without_names_mean_nothing_beside_names(dataset: Dataset) -> None:
    named, unnamed = described(dataset, classes=("a", "b")), described(dataset)
    classes = Classes.of([named, unnamed])
    assert classes.names == ("a", "b")
    assert classes.numbered(named, np.array([1, 0, -1])).tolist() == [1, 0, -1]
    assert classes.numbered(unnamed, np.array([1, 0, -1])).tolist() == [-1, -1, -1]
    assert Classes.of([unnamed, unnamed]).numbered(unnamed, np.array([7, -1])).tolist() == [7, -1]


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("modality", "name", "ours", "theirs"),
    [
        (LogMel(frames=32), "logmel", LogMelSpec().to_json(), LogMelSpec(low_hz=50.0).to_json()),
        (Waveform(samples=64, patch=8), "audio", {"rate": 16000}, {"rate": 8000}),
    ],
)
def test_sound_of_different_settings_is_not_mixed(
    tmp_path: Path,
    make_shard: MakeShard,
    modality: LogMel | Waveform,
    name: str,
    ours: dict[str, Any],
    theirs: dict[str, Any],
) -> None:
    import soundfile

    flac = io.BytesIO()
    soundfile.write(flac, np.zeros(200, np.int16), 16000, format="FLAC", subtype="PCM_16")
    make_shard(tmp_path / "a.tar", {"s.logmel.npy": npy(np.zeros((40, 128), np.float16)), "s.flac": flac.getvalue()})
    adopt(tmp_path)
    dataset = Dataset.open(tmp_path)

    def mixed(settings: dict[str, Any]) -> Stream:
        components = [
            Component(dataset=described(dataset, settings={name: ours}), name="a"),
            Component(dataset=described(dataset, settings={name: settings}), name="b"),
        ]
        return Stream(
            components, modalities=[modality], views=FreshViews(policy=None), masking={}, global_batch=2, seed=0
        )

    assert torch.equal(next(mixed(ours)).lengths[modality.name] > 0, torch.tensor([True, True]))
    with pytest.raises(
        SettingsError, match=f"'{modality.field}' of 'a' and of 'b' cannot be mixed: the first has {name}"
    ):
        mixed(theirs)


class Described(TargetTable):
    """A stored target of which nothing is read but what is said about it."""

    def __init__(self, projection: np.ndarray | None = None, **changed: Any) -> None:
        told: dict[str, Any] = {"shape": (4, 3), "teacher_settings": {"layer": 8}, "weights_sha256": "ab"} | changed
        self.spec = spec_of(told.pop("shape"), **told)
        self.__dict__["projection"] = projection


def mix(dataset: Dataset, ours: TargetTable, theirs: TargetTable) -> None:
    tables = {"a": ours, "b": theirs}
    components = [Component(dataset=dataset, name=name, stored={"clip": table}) for name, table in tables.items()]
    Stream(components, modalities=[IMAGE], views=VIEWS, masking={}, global_batch=8, seed=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"teacher": "dino"}, "the teacher is oracle there, dino here"),
        ({"teacher_settings": {"layer": 9}}, "the setting layer is 8 there, 9 here"),
        ({"teacher_settings": {}}, "the setting layer is 8 there, None here"),
        ({"weights_sha256": "cd"}, "weights_sha256 is ab there, cd here"),
        ({"shape": (4, 5)}, r"the shape is \(4, 3\) there, \(4, 5\) here"),
        ({"coding": Coding(dtype="int8")}, "the coding is float16 there, int8 here"),
        ({"coding": Coding(dtype="float16", components=2)}, "the coding is float16 there, pca:2 here"),
        ({"vocabulary": 8}, "the vocabulary is None there, 8 here"),
        ({"views": replace(VIEWS, seed=1).to_json()}, "the views is .*'seed': 0.* there, .*'seed': 1.* here"),
        ({"looks_at": {"field": "video"}}, "what it looks at is {'field': 'image'} there, {'field': 'video'} here"),
    ],
)
def test_stored_targets_of_one_name_that_mean_different_things_are_not_mixed(
    dataset: Dataset, changed: dict[str, Any], message: str
) -> None:
    told: dict[str, Any] = {"views": VIEWS.to_json()}
    ours, theirs = Described(**told), Described(**told | changed)
    ids = f"{ours.spec.target_id} in 'a', and {theirs.spec.target_id} in 'b'"
    with pytest.raises(SettingsError, match=f"'clip' cannot be mixed: it is {ids}. {message}"):
        mix(dataset, ours, theirs)


def test_stored_targets_that_differ_only_in_how_they_were_computed_are_mixed(dataset: Dataset) -> None:
    told: dict[str, Any] = {"views": VIEWS.to_json()}
    mix(dataset, Described(**told), Described(**told, software={"torch": "2.0"}, precision="bf16"))


def test_ids_of_features_that_each_dataset_stores_itself_are_mixed(dataset: Dataset) -> None:
    def ids_of(target: str) -> Described:
        read = {"looks_at": {"target": target}, "teacher_settings": {"tokenizer": "runs/vq", "target": target}}
        return Described(views=VIEWS.to_json(), **read)

    mix(dataset, ids_of("clip-0123456789ab"), ids_of("clip-ba9876543210"))


def test_principal_components_in_other_directions_are_not_mixed(dataset: Dataset) -> None:
    told: dict[str, Any] = {"views": VIEWS.to_json(), "coding": Coding(dtype="float16", components=2)}
    directions = np.eye(3, dtype=np.float32)
    mix(dataset, Described(directions, **told), Described(directions.copy(), **told))
    with pytest.raises(SettingsError, match=r"each in directions of its own\. Store both as int8 or float16"):
        mix(dataset, Described(directions, **told), Described(directions[::-1], **told))
