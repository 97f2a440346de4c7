import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ingest.targets.look import Wish, look_of
from ingest.targets.plan import drawn_ids, plan_target, projection_for
from ingest.targets.spec import Manner
from ingest.teachers import build_teacher
from maskloom import app
from shards.dataset import Dataset

MANNER = Manner(device="cpu", batch=32, cores=1, threads=1)
HOG = build_teacher("hog", {"size": 32, "patch": 8})


def test_a_plan_says_what_is_then_stored_byte_for_byte(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    look = look_of(HOG, Wish(views=2), dataset)
    plan = plan_target(dataset, look, manner=MANNER, precision="fp32")
    bytes_of = {str(choice.coding): choice.bytes for choice in plan.choices}
    rows = 150 * 2 * 16
    assert bytes_of == {
        "float32": rows * 108 * 4,
        "float16": rows * 108 * 2,
        "int8": rows * (108 + 4),
        "pca:54": rows * 54 * 2,
        "pca:54:int8": rows * (54 + 4),
        "pca:27": rows * 27 * 2,
        "pca:27:int8": rows * (27 + 4),
        "pca:13": rows * 13 * 2,
        "pca:13:int8": rows * (13 + 4),
    }
    assert plan.seconds > 0


def test_less_room_is_never_closer(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    plan = plan_target(dataset, look_of(HOG, Wish(views=1), dataset), manner=MANNER, precision="fp32")
    found = {str(choice.coding): choice.mean_cosine for choice in plan.choices}
    assert found["float32"] == pytest.approx(1.0)
    assert (
        found["float32"] >= found["float16"] >= found["int8"] >= found["pca:54"] >= found["pca:27"] >= found["pca:13"]
    )
    assert found["pca:13"] > 0.7


def test_the_sample_is_the_same_whenever_it_is_drawn_and_has_no_sample_twice(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    drawn = drawn_ids(dataset, 40, purpose="plan")
    assert np.array_equal(drawn, drawn_ids(Dataset.open(sealed), 40, purpose="plan"))
    assert len(set(drawn.tolist())) == 40
    assert not np.array_equal(drawn, drawn_ids(dataset, 40, purpose="components"))


def test_a_projection_has_the_mean_and_as_many_components_as_asked(sealed: Path) -> None:
    dataset = Dataset.open(sealed)
    projection = projection_for(dataset, look_of(HOG, Wish(views=1), dataset), 20, manner=MANNER, precision="fp32")
    assert projection.shape == (21, 108)


def test_the_command_prints_the_plan_and_stores_nothing(dataset_root: Path) -> None:
    asked = [
        "targets",
        str(dataset_root),
        "--teacher",
        "hog",
        "--size",
        "32",
        "--set",
        "patch=8",
        "--plan",
        "--workers",
        "1",
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert re.search(
        r"4 views x \(16, 108\) a sample, about 0\.\d\d hours by one process; measured on 32 samples", result.output
    )
    assert "pca:54:int8" in result.output
    assert not (dataset_root / "targets").exists()
