import pytest
import torch

from pipelines.settings import apply_settings
from shards.errors import SettingsError
from trainers.nn.network import Output
from trainers.recipe import Recipe
from trainers.recipes import mae, maskfeat


def change(*settings: str) -> Recipe:
    return apply_settings(mae.recipe(size="tiny"), settings)


def test_values_are_read_by_the_type_of_their_field() -> None:
    changed = change(
        "model.depth=4",
        "masking.image.ratio=0.6",
        "training.betas=0.8, 0.9",
        "training.clip_norm=1",
        "objective.patches.weight=2",
    )
    assert changed.model.depth == 4
    assert changed.masking["image"].ratio == 0.6
    assert changed.training.betas == (0.8, 0.9)
    assert isinstance(changed.training.clip_norm, float)
    assert changed.objective[0].weight == 2.0
    assert change("training.clip_norm=none").training.clip_norm is None


def test_everything_that_was_not_named_stays() -> None:
    assert change() == mae.recipe(size="tiny")
    assert apply_settings(change("model.depth=4"), ["model.depth=12"]) == mae.recipe(size="tiny")


def test_everything_that_depends_on_the_size_of_the_picture_follows_it() -> None:
    changed = change("modalities.image.size=32", "modalities.image.patch=4", "model.depth=1")
    assert changed.fresh_views().size == 32
    assert changed.outputs() == {"patches": Output(dim=48, modality="image")}
    network = changed.network(seed=0)
    assert network.encode({"image": torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}).shape == (1, 65, 192)


def test_settings_that_only_fit_together_come_in_any_order() -> None:
    sizes = ["modalities.image.patch=5", "modalities.image.size=25"]
    assert change(*sizes) == change(*reversed(sizes))


def test_an_element_of_a_tuple_goes_by_its_name() -> None:
    changed = apply_settings(maskfeat.recipe(), ["targets.hog.source=stored"])
    assert changed.stored_targets() == ("hog",)
    assert maskfeat.recipe().stored_targets() == ()


def test_the_last_of_two_values_counts() -> None:
    assert change("model.depth=4", "model.depth=5").model.depth == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.dpeth=4", "no setting 'model.dpeth'.*Did you mean 'model.depth'"),
        ("modle.depth=4", "no setting 'modle'.*Did you mean 'model'"),
        ("masking.imgae.ratio=0.5", "Did you mean 'masking.image'"),
        ("targets.patch.name=x", "there is targets.patches. Did you mean 'targets.patches'"),
        ("model.depth=four", "'model.depth' takes a whole number; found 'four'"),
        ("model.depth=4.5", "'model.depth' takes a whole number; found '4.5'"),
        ("masking.image.ratio=nan", "'masking.image.ratio' takes a number; found 'nan'"),
        ("training.clip_norm=tight", "takes a number or none; found 'tight'"),
        ("training.betas=0.9", "takes 2 values with commas between them: a number, a number; found '0.9'"),
        ("model=large", "'model' cannot be set as a whole; set one of its parts: model.width"),
        ("masking=none", "'masking' cannot be set as a whole; set one of its parts: masking.image"),
        ("objective.patches.loss=l1", "cannot be set as a whole; it is chosen in the recipe's file"),
        ("targets=stored", "'targets' cannot be set as a whole; set one of its parts: targets.patches"),
        ("model.depth.more=4", "'model.depth' is one value, 12; it has no part 'more'"),
        ("model.depth", "reads path=value.*found 'model.depth'"),
        ("=4", "reads path=value"),
        ("modalities.image.size=225", "modality 'image' of 225 pixels"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_what_would(setting: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        change(setting)


def test_a_modality_may_read_a_field_of_another_name() -> None:
    recipe = apply_settings(mae.recipe(), ["modalities.image.field=photo"])
    assert (recipe.modality("image").field, list(recipe.masking)) == ("photo", ["image"])


def test_the_choices_of_a_closed_setting_are_named() -> None:
    with pytest.raises(SettingsError, match=r"takes one of computed, stored; found 'cached'"):
        apply_settings(maskfeat.recipe(), ["targets.hog.source=cached"])


@pytest.mark.parametrize("settings", [("model=4", "model.depth=4"), ("model.depth=4", "model=4")])
def test_a_slot_cannot_be_set_as_a_whole_and_in_parts(settings: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match="'model' is set as a whole and in parts"):
        change(*settings)
