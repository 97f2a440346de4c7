"""A teacher that reads what another one stored: ids of features."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ingest.cluster import Cluster
from ingest.targets.look import Wish, look_of
from ingest.targets.run import precompute
from ingest.targets.spec import Manner, default_coding, make_spec
from ingest.teachers import new_teacher
from pipelines.target_coding import decoder_of
from pipelines.tokenizers.vq.file import load_tokenizer
from shards.dataset import Dataset
from shards.errors import MissingTargetError, SettingsError
from shards.target_spec import SealedTarget
from tests.conftest import silent
from tests.ingest.teachers.seeded import SIDE, seeded_settings
from tests.pipelines.many_kinds import write_many_kinds

MANNER = Manner(device="cpu", batch=6, cores=1, threads=1)
WISH = Wish(views=2, scale=(0.3, 1.0))
SAMPLES = 8


def store(root: Path, name: str, settings: tuple[str, ...]) -> SealedTarget:
    dataset, teacher = Dataset.open(root), new_teacher(name, size=SIDE, settings=settings)
    look = look_of(teacher, WISH, dataset)
    spec = make_spec(name, look, coding=default_coding(teacher), precision="fp32")
    return precompute(dataset, spec, manner=MANNER, cluster=Cluster(workers=1), console=silent())


def test_ids_of_stored_features_are_those_of_the_tokenizer_on_the_same_views(in_process: None, tmp_path: Path) -> None:
    write_many_kinds(tmp_path / "dataset", samples=SAMPLES)
    settings = seeded_settings(tmp_path)
    file = tmp_path / "features.safetensors"
    chained = (f"tokenizer={file}", "target=dino")
    with pytest.raises(MissingTargetError, match="'dino' was asked for"):
        store(tmp_path / "dataset", "tokens", chained)
    features = store(tmp_path / "dataset", "dino", settings["dino"])
    ids = store(tmp_path / "dataset", "tokens", chained)
    assert ids.spec.views == features.spec.views
    assert ids.spec.looks_at == {"target": features.target_id}
    assert ids.num_blank == features.num_blank == 1

    dataset, tokenizer = Dataset.open(tmp_path / "dataset"), load_tokenizer(file)
    numbers, blank = np.arange(SAMPLES), [f"scene-{1:04d}" == key for key in dataset.keys(np.arange(SAMPLES))]
    read, wanted = dataset.target(ids.target_id), dataset.target(features.target_id)
    for k in range(2):
        rows = torch.from_numpy(wanted.read(numbers, np.full(SAMPLES, k)))
        expected = tokenizer.encode(decoder_of(wanted)(rows)).numpy()
        expected[blank] = 0
        assert np.array_equal(read.read(numbers, np.full(SAMPLES, k)), expected)
    assert len(np.unique(read.read(numbers, np.zeros(SAMPLES, np.int64)))) > 1


def test_a_tokenizer_of_pictures_needs_no_target_and_one_of_features_does(tmp_path: Path) -> None:
    seeded_settings(tmp_path)
    with pytest.raises(SettingsError, match="quantises features: name the stored target"):
        _ = new_teacher("tokens", size=SIDE, settings=[f"tokenizer={tmp_path / 'features.safetensors'}"]).modality
    with pytest.raises(SettingsError, match="not at a stored target: leave out"):
        _ = new_teacher(
            "tokens", size=SIDE, settings=[f"tokenizer={tmp_path / 'pictures.safetensors'}", "target=dino"]
        ).modality
