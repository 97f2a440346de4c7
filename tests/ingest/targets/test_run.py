import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rich.console import Console
from torch import Tensor

from ingest.cluster import Cluster
from ingest.settings import SplitBy, Splits
from ingest.targets.look import Wish, look_of, recorded_look
from ingest.targets.parity import ParityError
from ingest.targets.run import precompute
from ingest.targets.spec import Manner, make_spec
from ingest.targets.task import write_targets
from ingest.teachers import build_teacher, new_teacher
from pipelines.component import Component
from pipelines.modalities import Image
from pipelines.stream import Stream
from pipelines.views import CenterCrop, Extent, RandomResizedCrop, ViewSet
from shards.dataset import Dataset
from shards.errors import DatasetError, MissingFieldError, MissingTargetError, SettingsError
from shards.manifest import Manifest
from shards.receipt import receipt_path
from shards.target_spec import SealedTarget, TargetSpec, parse_coding
from shards.target_table import target_folder
from shards.target_writer import write_target_shard
from shards.verify import verify
from tests.ingest.pictures import write_files

Run = Callable[..., Manifest]

CROPS = ViewSet(
    policy=RandomResizedCrop(size=32, scale=(0.3, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5), count=3, seed=4
)
CENTRE = ViewSet(policy=CenterCrop(size=32), count=1, seed=0)


MANNER = Manner(device="cpu", batch=32, cores=1, threads=1)
HOG = build_teacher("hog", {"size": 32, "patch": 8})


def spec_of(*, views: ViewSet = CROPS, store: str = "float16") -> TargetSpec:
    look = recorded_look(HOG, {"field": "image"}, views)
    return make_spec("hog", look, coding=parse_coding(store), precision="fp32")


def run(root: Path, spec: TargetSpec) -> SealedTarget:
    silent = Console(file=io.StringIO())
    return precompute(Dataset.open(root), spec, manner=MANNER, cluster=Cluster(workers=1), console=silent)


@pytest.fixture(scope="module")
def taught_once(sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(sealed, tmp_path_factory.mktemp("taught") / "dataset"))
    for shard in range(3):
        write_targets(root, spec_of(), shard, MANNER)
    run(root, spec_of())
    return root


@pytest.fixture
def taught(in_process: None, taught_once: Path, tmp_path: Path) -> Path:
    """A dataset with HOG targets of three random crops; returns the folder of the target."""
    root = Path(shutil.copytree(taught_once, tmp_path / "dataset"))
    return target_folder(root, spec_of().target_id)


def replayed(root: Path, epochs: int) -> tuple[Tensor, Tensor]:
    """Return every picture as a trainer sees it, and the stored rows that come with it."""
    dataset = Dataset.open(root)
    stream = Stream(
        [Component(dataset=dataset, stored={"hog": dataset.target("hog")})],
        modalities=(Image(size=32, patch=8),),
        views=CROPS,
        masking={},
        global_batch=50,
        seed=7,
    )
    batches = [next(stream) for _ in range(epochs * dataset.num_samples // 50)]
    images = torch.cat([batch.inputs["image"] for batch in batches])
    return images, torch.cat([batch.stored["hog"] for batch in batches]).float()


def cosines(first: Tensor, second: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(first.flatten(1), second.flatten(1))


def said(images: Tensor) -> Tensor:
    return HOG.load(torch.device("cpu"))(images)


def test_a_stored_target_belongs_to_exactly_the_pixels_that_are_trained_on(taught: Path) -> None:
    images, stored = replayed(taught.parents[1], epochs=3)
    assert cosines(said(images), stored).min() >= 0.999
    flips = [
        CROPS.view(key, k, extent=Extent(height=40, width=48)).flip for key in map(str, range(50)) for k in range(3)
    ]
    assert any(flips) and not all(flips)


def test_a_shift_of_one_pixel_or_a_missing_flip_would_be_noticed(taught: Path) -> None:
    images, stored = replayed(taught.parents[1], epochs=1)
    for wrong in (images.roll(1, -1), images.roll(1, -2), images.flip(-1)):
        assert (cosines(said(wrong), stored) < 0.999).all()


def test_a_stored_target_is_sealed_sound_and_of_the_right_shape(taught: Path) -> None:
    dataset = Dataset.open(taught.parents[1])
    assert verify(dataset) == []
    table = dataset.target("hog")
    assert (table.spec.shape, table.spec.dtype, table.spec.num_views) == ((16, 108), "float16", 3)
    assert taught.name in dataset.target_ids()


def test_a_finished_target_run_again_changes_nothing(taught: Path) -> None:
    before = {path: path.read_bytes() for path in taught.rglob("*") if path.is_file()}
    run(taught.parents[1], spec_of())
    assert {path: path.read_bytes() for path in taught.rglob("*") if path.is_file()} == before


def test_an_interrupted_run_goes_on_where_it_was(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in taught.rglob("*") if path.is_file()}
    (taught / "target.json").unlink()
    receipt_path(taught, 1).unlink()
    with pytest.raises(MissingTargetError):
        Dataset.open(taught.parents[1]).target("hog")
    computed: list[int] = []

    def spy(root: Path, spec: TargetSpec, shard: int, manner: Manner) -> int:
        computed.append(shard)
        return write_targets(root, spec, shard, manner)

    monkeypatch.setattr("ingest.targets.run.write_targets", spy)
    run(taught.parents[1], spec_of())
    assert computed == [1]
    assert {path: path.read_bytes() for path in taught.rglob("*") if path.is_file()} == before


def test_two_views_sets_are_two_targets(taught: Path) -> None:
    run(taught.parents[1], spec_of(views=CENTRE))
    with pytest.raises(MissingTargetError, match="has several targets 'hog'"):
        Dataset.open(taught.parents[1]).target("hog")


@pytest.mark.parametrize("store, worst", [("float16", 0.9999), ("float32", 0.9999999), ("int8", 0.9995)])
def test_the_error_of_the_stored_type_is_measured(
    in_process: None, dataset_root: Path, store: str, worst: float
) -> None:
    sealed = run(dataset_root, spec_of(views=CENTRE, store=store))
    assert worst <= sealed.parity["worst_cosine"] <= sealed.parity["mean_cosine"] <= 1 + 1e-6
    assert sealed.parity["largest_difference"] < 1e-2


Values = npt.NDArray[np.float16]


def shifted(values: Sequence[Values]) -> list[Values]:
    return [np.roll(view, 1, axis=0) for view in values]


def infinite(values: Sequence[Values]) -> list[Values]:
    return [view + np.float16("inf") for view in values]


def not_numbers(values: Sequence[Values]) -> list[Values]:
    return [view * np.float16("nan") for view in values]


@pytest.mark.parametrize("tamper", [shifted, infinite, not_numbers])
def test_the_parity_gate_does_not_seal_a_shard_with_other_values(
    taught: Path, tamper: Callable[[Sequence[Values]], list[Values]]
) -> None:
    dataset, spec = Dataset.open(taught.parents[1]), spec_of()
    table = dataset.target("hog")
    keys = table.keys(0)
    values = [table.read(dataset_ids(dataset), np.full(64, k)) for k in range(3)]
    (taught / "target.json").unlink()
    receipt_path(taught, 0).unlink()
    tail = np.zeros((len(keys) - 64, 16, 108), np.float16)
    write_target_shard(dataset, spec, 0, [(keys[:64], tamper(values)), (keys[64:], [tail] * 3)])
    with pytest.raises(ParityError, match=r"is not sealed: a stored row and its recomputation .* have cosine"):
        run(dataset.root, spec)
    assert not (taught / "target.json").exists()


def dataset_ids(dataset: Dataset) -> npt.NDArray[np.int64]:
    ids = np.arange(64)
    assert set(dataset.locate(ids)[0].tolist()) == {0}
    return ids


def test_numbers_are_not_stored_as_ids() -> None:
    with pytest.raises(SettingsError, match="this teacher gives numbers; store them as float16"):
        spec_of(store="uint16")


def test_a_target_of_another_version_of_the_dataset_is_refused(
    taught: Path, pictures: Path, tmp_path: Path, run_ingest: Run
) -> None:
    other = tmp_path / "other"
    run_ingest(pictures, other, shard_size=70, seed=1)
    shutil.copytree(taught.parent, other / "targets")
    dataset = Dataset.open(other)
    with pytest.raises(DatasetError, match=r"is stale: shard 0 has changed since it was computed. Run `maskloom drop "):
        dataset.target("hog").read(np.array([0]), np.array([0]))
    with pytest.raises(DatasetError, match="is stale"):
        run(other, spec_of())


def test_a_dataset_without_pictures_is_refused(in_process: None, tmp_path: Path, run_ingest: Run) -> None:
    run_ingest(write_files(tmp_path / "raw", {"a.txt": "only text"}), tmp_path / "out")
    with pytest.raises(MissingFieldError, match=r"looks at the field 'image', but .* holds only text"):
        look_of(HOG, Wish(views=2), Dataset.open(tmp_path / "out"))


def test_a_sample_without_a_picture_gets_zeros_and_is_counted(
    in_process: None, tmp_path: Path, run_ingest: Run, pictures: Path
) -> None:
    picture = (pictures / "set1/picture001.jpg").read_bytes()
    files = {"a.txt": "only text", "b.jpg": picture, "b.txt": "both"}
    run_ingest(write_files(tmp_path / "raw", files), tmp_path / "out", require=("text",))
    sealed = run(tmp_path / "out", spec_of(views=CENTRE))
    dataset = Dataset.open(tmp_path / "out")
    rows = dataset.target("hog").read(np.arange(2), np.zeros(2, np.int64))
    blank = ["image" not in sample.fields for sample in dataset.read(np.arange(2), ["image"])]
    assert sealed.num_blank == 1
    assert sorted(blank) == [False, True]
    assert [not row.any() for row in rows] == blank


def test_unknown_teachers_settings_and_types_are_refused_with_the_closest_name() -> None:
    with pytest.raises(SettingsError, match=r"There is no teacher 'hogg'; .*Did you mean 'hog'\?"):
        build_teacher("hogg", {"size": 32})
    with pytest.raises(SettingsError, match=r"Did you mean 'patch'\?"):
        new_teacher("hog", size=32, settings=["pach=8"])
    with pytest.raises(SettingsError, match=r"'flaot16' was asked for.*Did you mean 'float16'\?"):
        spec_of(store="flaot16")
    with pytest.raises(SettingsError, match="patch"):
        new_teacher("hog", size=32, settings=["patch=wide"])


@pytest.mark.parametrize("patch", [0, 7, 5, -2, 64])
def test_patches_that_do_not_tile_the_view_are_refused_before_anything_is_computed(patch: int) -> None:
    with pytest.raises(SettingsError, match=f"patches of {patch} pixels"):
        recorded_look(new_teacher("hog", size=32, settings=[f"patch={patch}"]), {"field": "image"}, CENTRE)


def test_a_patch_may_be_set_for_a_size_that_the_default_does_not_fit() -> None:
    assert new_teacher("hog", size=36, settings=["patch=12"]).shape == (9, 108)


def test_a_target_of_one_split_alone_is_refused(tmp_path: Path, pictures: Path, run_ingest: Run) -> None:
    run_ingest(pictures, tmp_path / "out", splits=Splits(shares=(("val", 0.3),), by=SplitBy.GROUP))
    with pytest.raises(SettingsError, match="for a whole dataset, not for the split 'val': leave out ':val'"):
        run(Path(f"{tmp_path / 'out'}:val"), spec_of())
