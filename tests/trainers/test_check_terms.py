"""`check` compares terms with what a network predicts, and the ids of maskings with those of tokenizers."""

from dataclasses import replace
from pathlib import Path

import pytest

from shards.errors import SettingsError
from tests.trainers.test_check import check, dataset_of, fields_of, resolve_recipe
from trainers.checking import check_words
from trainers.recipe import Recipe
from trainers.terms import Contrast


def checked(recipe: Recipe, root: Path) -> None:
    check(recipe, dataset_of(root, dict.fromkeys(fields_of(recipe), 100)))


def test_a_contrast_of_what_a_network_does_not_summarise_is_refused(tmp_path: Path) -> None:
    recipe = resolve_recipe("cav_mae")
    checked(recipe, tmp_path)
    with pytest.raises(SettingsError, match=r"'contrast' reads 'summary/logmel', which its network does not predict"):
        checked(resolve_recipe("cav_mae", settings=["model.summaries=false"]), tmp_path)
    other = Contrast(between=("logmel", "vidoe"), temperature=0.1)
    with pytest.raises(SettingsError, match=r"reads 'summary/vidoe'.*Did you mean.*summary/video"):
        checked(replace(recipe, objective=(*recipe.objective[:2], other)), tmp_path)


def test_a_mask_that_is_not_that_of_the_tokenizer_is_refused(tmp_path: Path) -> None:
    checked(resolve_recipe("m3ae_medical"), tmp_path)
    with pytest.raises(SettingsError, match=r"--set masking\.text\.vocabulary=49408"):
        checked(resolve_recipe("m3ae_medical", settings=["modalities.text.tokenizer=clip"]), tmp_path)


def test_sentinels_that_are_not_those_of_the_tokenizer_are_refused() -> None:
    check_words(resolve_recipe("four_m"))
    with pytest.raises(SettingsError, match=r"the tokenizer of 'text' has none"):
        check_words(resolve_recipe("four_m", settings=["modalities.text.tokenizer=clip"]))
    with pytest.raises(SettingsError, match=r"has 100 from 260 on"):
        check_words(resolve_recipe("four_m", settings=["masking.sentinels.first=261"]))
