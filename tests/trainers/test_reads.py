"""Names of stored targets, as recipes write them."""

from pathlib import Path

import pytest

from shards.errors import SettingsError
from tests.trainers.test_check import check, dataset_of, recipe_of
from trainers.reads import Reference


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"norm": False, "layer": 8, "scale": 0.5, "seed": None}, True),
        ({"norm": True, "layer": 8, "scale": 0.5, "seed": None}, False),
        ({"norm": False, "layer": -8, "scale": 0.5, "seed": None}, False),
        ({"norm": False, "layer": 8, "scale": "half", "seed": None}, False),
        ({"norm": False, "layer": 8, "scale": 0.5, "seed": 0}, False),
        ({"norm": False, "layer": 8, "scale": 0.5}, False),
    ],
)
def test_settings_in_a_name_are_read_as_the_command_line_reads_them(settings: dict[str, object], fits: bool) -> None:
    for written in ("dino:norm=false,layer=8,scale=.5,seed=none", "dino:norm=False,layer=8,scale=0.50,seed=None"):
        assert Reference.parse(written).fits(settings) is fits


@pytest.mark.parametrize("name", ["", "clip:", "clip:output", ":output=patches", "clip:=patches"])
def test_a_name_without_sense_is_refused_with_what_makes_sense(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="write clip, clip:output=patches,layer=8, or a whole id"):
        check(recipe_of("maskdistill", f"targets.features.table={name}"), dataset_of(tmp_path, {"image": 100}))
