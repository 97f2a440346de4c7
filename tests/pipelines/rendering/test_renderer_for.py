"""Renderers for the fields of a dataset."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.settings import VideoSettings, VideoStore
from pipelines.modalities import Clip, Decoded, Image, LogMel, Points, Raster, Text, Waveform
from pipelines.rendering import Renderer, renderer_for
from pipelines.rendering.logmel import LogMelRenderer
from pipelines.tokenizers.byte import ByteTokenizer
from pipelines.transforms.logmel_spec import LogMelSpec
from pipelines.views import CenterCrop, FreshViews, RandomClip
from shards.dataset import Dataset
from shards.errors import MissingFieldError, SettingsError
from shards.manifest import Manifest
from tests.ingest.media import video
from tests.ingest.pictures import write_files
from tests.pipelines.many_kinds import write_many_kinds

MODALITIES: tuple[Decoded, ...] = (
    Image(size=16, patch=4),
    Raster(size=16, patch=4, field="depth"),
    Raster(size=16, patch=4, field="bands", channels=5),
    Raster(size=16, patch=4, field="segmentation", is_ids=True),
    Clip(size=16, patch=4, frames=4),
    Clip(size=16, patch=4, frames=4, field="mp4"),
    LogMel(frames=64, bins=64),
    Waveform(samples=8000, patch=400),
    Points(count=64, groups=8, neighbours=8),
    Text(length=32, tokenizer=ByteTokenizer()),
)


@pytest.fixture(scope="module")
def many_kinds(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_many_kinds(tmp_path_factory.mktemp("kinds") / "dataset", samples=4)


def with_settings(dataset: Dataset, settings: Mapping[str, Any]) -> Dataset:
    return Dataset(dataset.root, replace(dataset.manifest, settings=settings), dataset.dataset_id)


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.name)
def test_every_modality_of_a_dataset_is_rendered(many_kinds: Dataset, modality: Decoded) -> None:
    renderer = renderer_for(modality, many_kinds)
    assert isinstance(renderer, Renderer)
    assert renderer.field == modality.field
    sample = many_kinds.read(np.array([0]), [modality.field])[0]
    extent = renderer.extent(sample.facts)
    views = FreshViews(policy=CenterCrop(size=16), time=RandomClip(count=4))
    view = views.choose(sample.key, epoch=0, seed=0, extent=extent)[1]
    if isinstance(modality, LogMel):
        view = replace(view, seconds=None)  # this dataset does not say how far its features are apart
    data = (sample.fields | sample.frames)[modality.field]
    row, real = renderer.render(data, sample.facts, view, extent)
    blank = renderer.empty(3)
    assert blank.shape == (3, *row.shape)
    assert blank.dtype == row.dtype
    assert 0 < real <= modality.num_tokens


def test_a_field_that_is_not_there_is_refused_with_the_closest_name(many_kinds: Dataset) -> None:
    with pytest.raises(MissingFieldError, match=r"reads the field 'dept', but .* holds only .* Did you mean 'depth'\?"):
        renderer_for(Raster(size=16, patch=4, field="dept"), many_kinds)


def test_a_field_of_another_kind_is_refused(many_kinds: Dataset) -> None:
    with pytest.raises(SettingsError, match=r"'depth' decodes the kind 'ids', but .* is of the kind 'raster'"):
        renderer_for(Raster(size=16, patch=4, field="depth", is_ids=True), many_kinds)
    with pytest.raises(SettingsError, match=r"'image' decodes the kind 'frames or clip'"):
        renderer_for(Clip(size=16, patch=4, field="image"), many_kinds)


def test_the_hop_of_features_comes_from_the_manifest(many_kinds: Dataset) -> None:
    settings = {"logmel": LogMelSpec(bins=64, hop_ms=12.5).to_json()}
    renderer = renderer_for(LogMel(bins=64), with_settings(many_kinds, settings))
    assert isinstance(renderer, LogMelRenderer)
    assert renderer.hop_seconds == 0.0125
    with pytest.raises(SettingsError, match="takes features of 128 bins, but the field 'logmel' has 64"):
        renderer_for(LogMel(), with_settings(many_kinds, settings))
    del settings["logmel"]["hop_ms"]
    with pytest.raises(SettingsError, match="describes its log-mel features, but not their hop_ms"):
        renderer_for(LogMel(bins=64), with_settings(many_kinds, settings))


@pytest.mark.parametrize("store", ["frames", "mp4"])
def test_an_ingested_video_and_its_sound_are_rendered_by_one_view(
    tmp_path: Path, run_ingest: Callable[..., Manifest], store: str
) -> None:
    source = write_files(tmp_path / "raw", {"a.mp4": video(seconds=2.0)})
    run_ingest(source, tmp_path / "out", video=VideoSettings(store=VideoStore(store)))
    dataset = Dataset.open(tmp_path / "out")
    modalities = (Clip(size=16, patch=8, frames=4), LogMel(frames=128), Waveform(samples=16_000, patch=400))
    sample = dataset.read(np.array([0]), [modality.field for modality in modalities])[0]
    renderers = [renderer_for(modality, dataset) for modality in modalities]
    extents = [renderer.extent(sample.facts) for renderer in renderers]
    assert extents[1].seconds == pytest.approx(2.0, abs=0.05)
    assert extents[2].seconds == pytest.approx(2.0, abs=0.05)
    views = FreshViews(policy=CenterCrop(size=16), time=RandomClip(count=4))
    view = views.choose(sample.key, epoch=0, seed=0, extent=extents[0])[1]
    data = sample.fields | sample.frames
    real = [renderer.render(data[renderer.field], sample.facts, view, extents[0])[1] for renderer in renderers]
    assert real[0] == 8
    assert real[1] == -(-round(view.seconds * 100) // 16) * 8
    assert real[2] == pytest.approx(view.seconds * 40, abs=1)
