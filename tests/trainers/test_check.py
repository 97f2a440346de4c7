"""`check` compares a recipe with a dataset before anything expensive happens."""

import dataclasses
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ingest.teachers import new_teacher, teacher_settings
from pipelines.component import Component
from pipelines.masking.plan import MaskContext, MaskPlan
from pipelines.masking.random import RandomPatches
from pipelines.masking.score import ScoredPatches
from pipelines.modalities import Features, Modality, Stored
from pipelines.views import CenterCrop, ViewSet
from shards.dataset import Dataset
from shards.errors import MissingFieldError, MissingTargetError, SettingsError
from shards.manifest import FieldSummary, Manifest
from shards.receipt import FileRecord
from shards.target_spec import Coding
from shards.target_table import TARGET, SealedTarget, TargetSpec, target_folder
from trainers.checking import check as check_opened
from trainers.reads import stored_reads, targets_command
from trainers.recipe import Recipe
from trainers.registry import recipe_names
from trainers.registry import resolve_recipe as resolve
from trainers.stored import open_stored, record_stored
from trainers.targets.hog import HogTarget


def check(recipe: Recipe, dataset: Dataset) -> None:
    check_opened(recipe, [Component(dataset=dataset, stored=open_stored(recipe, dataset, {}))])


def resolve_recipe(name: str, *, settings: Sequence[str] = ()) -> Recipe:
    """A tiny recipe whose batch is not larger than the datasets here."""
    return resolve(name, size="tiny", settings=["training.batch=64", *settings])


def dataset_of(root: Path, fields: Mapping[str, int], *, samples: int = 100) -> Dataset:
    manifest = Manifest(
        schema_version=2,
        plan_id="plan",
        source="source",
        settings={},
        software={},
        fields={name: FieldSummary(kind=name, samples=count, bytes=count) for name, count in fields.items()},
        splits={},
        classes=None,
        num_items=samples,
        num_samples=samples,
        num_shards=1,
        rejects={},
        licences={},
        ignored={},
        shards=FileRecord(path="shards.arrow", bytes=0, digest=""),
    )
    return Dataset(root, manifest, "dataset")


def store_histograms(
    dataset: Dataset, *, size: int, shape: tuple[int, ...], teacher: str = "hog", seed: int = 0
) -> str:
    return store(dataset, teacher, size=size, shape=shape, seed=seed)


def store(
    dataset: Dataset,
    teacher: str,
    *,
    size: int,
    shape: tuple[int, ...],
    settings: Mapping[str, str] | None = None,
    vocabulary: int | None = None,
    seed: int = 0,
) -> str:
    """Write down that a target was sealed, without any row of it, and return its id."""
    spec = TargetSpec(
        teacher=teacher,
        teacher_settings=settings or {},
        weights_sha256=None,
        preprocessing="",
        views=ViewSet(policy=CenterCrop(size=size), count=1, seed=seed).to_json(),
        shape=shape,
        coding=Coding(dtype="float16" if vocabulary is None else "uint16"),
        vocabulary=vocabulary,
        software={},
    )
    sealed = SealedTarget(
        target_id=spec.target_id, spec=spec, dataset_id=dataset.dataset_id, num_samples=100, num_bytes=0, parity={}
    )
    folder = target_folder(dataset.root, spec.target_id)
    folder.mkdir(parents=True)
    (folder / TARGET).write_bytes(sealed.to_json())
    return spec.target_id


def store_all(recipe: Recipe, dataset: Dataset) -> None:
    """Write down that everything was sealed that a recipe reads."""
    shapes = {
        target.stored: (target.stored_shape(recipe.modality(target.modality)), getattr(target, "vocabulary", None))
        for target in recipe.targets
    }
    for read in stored_reads(recipe):
        shown = (read.modality.num_tokens, *([read.modality.dim] if isinstance(read.modality, Features) else []))
        shape, vocabulary = shapes.get(read.reference.name, (shown, None))
        store(
            dataset,
            read.reference.teacher,
            size=recipe.picture_size or 224,
            shape=shape,
            settings=read.reference.settings,
            vocabulary=vocabulary,
        )


def stored_histograms_recipe(*settings: str) -> Recipe:
    return resolve_recipe("maskfeat", settings=["targets.hog.source=stored", *settings])


def fields_of(recipe: Recipe) -> list[str]:
    return [modality.field for modality in recipe.modalities if not isinstance(modality, Stored)]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_fits_a_dataset_of_the_fields_and_stored_targets_that_it_names(tmp_path: Path, name: str) -> None:
    recipe = resolve_recipe(name)
    dataset = dataset_of(tmp_path, dict.fromkeys((*fields_of(recipe), "text"), 100))
    store_all(recipe, dataset)
    check(recipe, dataset)


@pytest.mark.parametrize("name", [name for name in recipe_names() if fields_of(resolve_recipe(name))])
def test_a_dataset_without_its_field_is_refused_with_what_it_holds(tmp_path: Path, name: str) -> None:
    recipe = resolve_recipe(name)
    dataset = dataset_of(tmp_path, {"text": 100, "label": 100})
    store_all(recipe, dataset)
    message = f"recipe '{name}' reads field '{fields_of(recipe)[0]}', but .* holds only label, text"
    with pytest.raises(MissingFieldError, match=message):
        check(recipe, dataset)


def test_a_dataset_in_which_some_samples_have_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFieldError, match="3 of the 100 samples"):
        check(resolve_recipe("mae"), dataset_of(tmp_path, {"image": 97}))


def test_a_missing_stored_target_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    expected = f"recipe 'maskfeat'.*maskloom targets {tmp_path} --teacher hog"
    with pytest.raises(MissingTargetError, match=expected):
        check(stored_histograms_recipe(), dataset_of(tmp_path, {"image": 100}))


def test_a_stored_target_of_the_right_shape_and_view_passes(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    store_histograms(dataset, size=224, shape=(196, 108))
    check(stored_histograms_recipe(), dataset)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["modalities.image.patch=8"],
            "as 784 x 108 values .* holds 196 x 108 values .* --teacher hog --size 224 .* --set patch=8`",
        ),
        (["modalities.image.size=448", "modalities.image.patch=32"], "on pictures of 448 pixels"),
    ],
)
def test_a_stored_target_of_another_size_is_refused(tmp_path: Path, settings: list[str], message: str) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    store_histograms(dataset, size=224, shape=(196, 108))
    with pytest.raises(SettingsError, match=message):
        check(stored_histograms_recipe(*settings), dataset)


def test_stored_targets_of_different_views_cannot_be_read_together(tmp_path: Path) -> None:
    dataset, single = dataset_of(tmp_path, {"image": 100}), stored_histograms_recipe()
    store_histograms(dataset, size=224, shape=(196, 108))
    store_histograms(dataset, size=224, shape=(196, 108), teacher="edges", seed=1)
    other = HogTarget(source="stored", table="edges", name="edges")
    term = dataclasses.replace(single.objective[0], target="edges")
    both = dataclasses.replace(single, targets=(*single.targets, other), objective=(*single.objective, term))
    with pytest.raises(SettingsError, match="stored for different views"):
        check(both, dataset)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("mae", "model.heads=5", "width of 192 cannot be split into 5 attention heads"),
        ("maskfeat", "modalities.image.patch=7", "even modalities.image.patch"),
        ("mae", "modalities.image.patch=224", "at least two tokens"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(tmp_path: Path, name: str, setting: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check(resolve_recipe(name, settings=[setting]), dataset_of(tmp_path, {"image": 100}))


def test_a_batch_larger_than_the_dataset_is_refused_with_one_that_fits(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    message = r"takes 101 samples per step, but .* holds only 100\. Give --batch 64, or any number up to 100"
    with pytest.raises(SettingsError, match=message):
        check(resolve_recipe("mae", settings=["training.batch=101"]), dataset)
    check(resolve_recipe("mae", settings=["training.batch=100"]), dataset)


def test_a_recorded_target_is_opened_whatever_was_stored_beside_it(tmp_path: Path) -> None:
    dataset, recipe = dataset_of(tmp_path, {"image": 100}), stored_histograms_recipe()
    store_histograms(dataset, size=224, shape=(196, 108))
    recorded = record_stored(open_stored(recipe, dataset, {}))
    store_histograms(dataset, size=224, shape=(196, 108), seed=1)
    with pytest.raises(MissingTargetError, match="several targets 'hog'"):
        open_stored(recipe, dataset, {})
    assert record_stored(open_stored(recipe, dataset, recorded)) == recorded


def test_a_name_whose_recorded_target_is_gone_means_the_one_there_is(tmp_path: Path) -> None:
    dataset, recipe = dataset_of(tmp_path, {"image": 100}), stored_histograms_recipe()
    store_histograms(dataset, size=224, shape=(196, 108))
    recorded = record_stored(open_stored(recipe, dataset, {}))
    shutil.rmtree(tmp_path / "targets")
    store_histograms(dataset, size=224, shape=(196, 108), seed=1)
    present = open_stored(recipe, dataset, recorded)["hog"].spec.target_id
    assert [present] == dataset.target_ids()
    assert present != recorded["hog"]["target_id"]


def recipe_of(name: str, *settings: str) -> Recipe:
    return resolve_recipe(name, settings=settings)


def test_a_missing_target_is_told_with_a_command_that_makes_it_for_the_views_and_patches_of_the_recipe(
    tmp_path: Path,
) -> None:
    expected = (
        f"recipe 'maskdistill' reads stored targets. 'clip:output=patches' (targets.features.table) is not there: {tmp_path} "
        f"holds no stored target. Make it with `maskloom targets {tmp_path} --teacher clip --size 128 --views 4 "
        "--scale 0.2,1 --flip 0.5 --set model=ViT-B-16 --set pretrained=openai --set patch=8 --set output=patches`."
    )
    with pytest.raises(MissingTargetError) as caught:
        small = ("modalities.image.size=128", "modalities.image.patch=8")
        check(recipe_of("maskdistill", *small), dataset_of(tmp_path, {"image": 100}))
    assert str(caught.value) == expected


def test_everything_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingTargetError) as caught:
        check(recipe_of("maskalign"), dataset_of(tmp_path, {"image": 100}))
    commands = [line for line in str(caught.value).splitlines() if "maskloom targets" in line]
    assert len(commands) == 6
    assert "--set patch=16 --set output=patches --set layer=-5 --set norm=False" in commands[0]
    model = "--set model=vit_base_patch16_clip_quickgelu_224.openai"
    assert all(model in command for command in commands)
    assert "(masking.image.score)" in commands[-1]
    assert "--set output=attention" in commands[-1]


@pytest.mark.parametrize("name", [name for name in recipe_names() if stored_reads(resolve_recipe(name))])
def test_a_printed_command_stores_what_is_then_read(tmp_path: Path, name: str) -> None:
    """The teacher that the command makes has the settings by which the recipe looks for the target."""
    recipe = resolve_recipe(name)
    for read in stored_reads(recipe):
        words = shlex.split(targets_command(recipe, read, tmp_path))
        settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        size = int(words[words.index("--size") + 1]) if "--size" in words else 224
        teacher = new_teacher(read.reference.teacher, size=size, settings=settings)
        assert read.reference.fits(teacher_settings(teacher)), read.reference.name


@dataclasses.dataclass(frozen=True)
class Either:
    """A masking of two others, of which only the second reads a stored target."""

    first: RandomPatches
    second: ScoredPatches

    @property
    def stored(self) -> tuple[str, ...]:
        return self.second.stored

    def plan(self, context: MaskContext, *, modality: Modality) -> MaskPlan:
        return self.second.plan(context, modality=modality)


def test_the_setting_that_names_a_target_is_found_behind_a_part_that_does_not() -> None:
    masking = Either(RandomPatches(ratio=0.5), ScoredPatches(score="dino:output=attention", ratio=0.7))
    recipe = dataclasses.replace(resolve_recipe("mae"), masking={"image": masking})
    assert [read.setting for read in stored_reads(recipe)] == ["masking.image.second.score"]


@pytest.mark.parametrize(
    ("settings", "size", "patch"),
    [
        (["grid=14,14"], 224, 16),
        (["grid=16,16"], 256, 16),
        (["grid=16,16", "stored=hog:patch=14"], 224, 14),
        (["grid=8,8", "stored=hog"], 128, 16),
    ],
)
def test_features_are_made_on_the_grid_that_is_read(settings: list[str], size: int, patch: int) -> None:
    recipe = resolve_recipe("vq_features", settings=[f"modalities.features.{setting}" for setting in settings])
    (read,) = stored_reads(recipe)
    command = targets_command(recipe, read, "data")
    assert f" --size {size} " in command
    assert f" --set patch={patch}" in command
    teacher = new_teacher("hog", size=size, settings=[f"patch={patch}"])
    assert teacher.shape[0] == read.modality.num_tokens


def test_features_that_no_square_picture_has_are_told_without_a_size() -> None:
    recipe = resolve_recipe("vq_features", settings=["modalities.features.grid=2,8"])
    assert "--size" not in targets_command(recipe, stored_reads(recipe)[0], "data")


@pytest.mark.parametrize(
    ("stored", "setting"),
    [
        ({"output": "pooled"}, ""),
        ({"output": "patches"}, "targets.features.table=clip:output=patches,layer=3"),
        ({}, ""),
    ],
)
def test_a_target_of_the_teacher_with_other_settings_is_not_meant(
    tmp_path: Path, stored: dict[str, str], setting: str
) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    target_id = store(dataset, "clip", size=224, shape=(196, 768), settings=stored)
    recipe = recipe_of("maskdistill", *([setting] if setting else []))
    with pytest.raises(MissingTargetError, match=f"is not there: .* holds {target_id}"):
        check(recipe, dataset)
    check(recipe_of("maskdistill", f"targets.features.table={target_id}"), dataset)


def test_an_ambiguous_name_lists_what_it_may_mean_and_how_to_say_it(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    ids = [
        store(dataset, "clip", size=224, shape=(196, 768), settings={"output": "patches", "layer": layer})
        for layer in ("3", "9")
    ]
    with pytest.raises(MissingTargetError) as caught:
        check(recipe_of("maskdistill"), dataset)
    assert "has several targets 'clip:output=patches'" in str(caught.value)
    assert all(f"{name} (196 x 768 values, 1 view, layer=" in str(caught.value) for name in ids)
    assert "--set targets.features.table=clip-" in str(caught.value)
    check(recipe_of("maskdistill", "targets.features.table=clip:output=patches,layer=9"), dataset)


def test_another_width_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    store(dataset, "clip", size=224, shape=(196, 512), settings={"output": "patches"})
    with pytest.raises(SettingsError, match=r"196 x 768 values .* 196 x 512 .*--set targets\.features\.width=512"):
        check(recipe_of("maskdistill"), dataset)
    check(recipe_of("maskdistill", "targets.features.width=512"), dataset)


def test_another_vocabulary_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    store(dataset, "tokens", size=224, shape=(196,), vocabulary=1024)
    with pytest.raises(
        SettingsError, match=r"one of 8192 ids, .* of 1024\. Give --set targets\.tokens\.vocabulary=1024"
    ):
        check(recipe_of("beit_v2"), dataset)
    both = ("targets.tokens.vocabulary=1024", "targets.summary.vocabulary=1024")
    check(recipe_of("beit_v2", *both), dataset)


def test_ids_are_not_taken_for_features(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, {"image": 100})
    store(dataset, "tokens", size=224, shape=(196, 768), vocabulary=1024)
    with pytest.raises(SettingsError, match=r"predicts 'features' as numbers, but tokens-.* holds token ids"):
        check(recipe_of("maskdistill", "targets.features.table=tokens"), dataset)


def test_scores_of_another_grid_are_refused(tmp_path: Path) -> None:
    dataset, recipe = dataset_of(tmp_path, {"image": 100}), recipe_of("maskalign")
    store_all(recipe, dataset)
    other = store(dataset, "dino", size=224, shape=(49,), settings={"output": "attention", "layer": "0"})
    with pytest.raises(SettingsError, match="needs 196 tokens"):
        check(recipe_of("maskalign", f"masking.image.score={other}"), dataset)
