import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.items import Part, RawItem
from ingest.listing import checked
from ingest.plan import SOFTWARE, Plan, make_plan
from ingest.plan_file import PLAN, commit_plan, read_plan_header, read_planned_items
from ingest.settings import IngestSettings
from shards.errors import PlanMismatchError, SettingsError, SourceError
from shards.manifest import Manifest
from shards.schema import MAX_KEY_CHARACTERS, RejectReason, is_valid_key
from tests.ingest.pictures import jpeg, write_files

Run = Callable[..., Manifest]
REPOSITORY = Path(__file__).resolve().parents[2]


def item(name: str, *, label: str | None = None, near: str = "", split: str = "") -> RawItem:
    part = Part(field="image", kind="image", uri=f"{name}.jpg", size=1)
    return RawItem(identity=name, parts=(part,), label=label, near=near, split=split)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=60, unique=True),
    shard_size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_every_item_is_planned_exactly_once(names: list[str], shard_size: int, seed: int) -> None:
    plan = make_plan([item(name) for name in names], IngestSettings(shard_size=shard_size, seed=seed))
    assert Counter(planned.item.identity for planned in plan.items) == Counter(names)
    sizes = Counter(planned.shard for planned in plan.items)
    assert sorted(sizes) == list(range(plan.num_shards))
    assert all(sizes[shard] == shard_size for shard in range(plan.num_shards - 1))
    assert [planned.shard for planned in plan.items] == sorted(planned.shard for planned in plan.items)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace").decode()))
def test_every_name_gives_a_key_that_fits_into_a_tar(name: str) -> None:
    key = item(name).key
    assert is_valid_key(key) and len(key) <= 57 < MAX_KEY_CHARACTERS


def test_a_sample_keeps_its_key_whatever_is_added_to_the_source() -> None:
    before = make_plan([item("a"), item("b")], IngestSettings())
    after = make_plan([item(name) for name in "xaybz"], IngestSettings(shard_size=2, seed=9))
    keys = {planned.item.identity: planned.item.key for planned in after.items}
    assert all(keys[planned.item.identity] == planned.item.key for planned in before.items)


def test_the_plan_does_not_depend_on_the_order_of_the_listing() -> None:
    items = [item(f"i{number}", label=f"c{number % 3}", near=f"g{number % 4}") for number in range(50)]
    assert make_plan(items, IngestSettings()) == make_plan(items[::-1], IngestSettings())


def test_another_seed_gives_another_order() -> None:
    items = [item(f"i{number}") for number in range(50)]
    first, second = (make_plan(items, IngestSettings(seed=seed)) for seed in (0, 1))
    assert [planned.item for planned in first.items] != [planned.item for planned in second.items]
    assert first.plan_id != second.plan_id


def test_items_that_are_cheap_to_read_together_stay_together() -> None:
    plan = make_plan([item(f"i{number}", near=f"g{number % 5}") for number in range(50)], IngestSettings())
    groups = [planned.item.near for planned in plan.items]
    assert len([1 for one, after in pairwise(groups) if one != after]) == 4


@pytest.mark.parametrize("table", [False, True])
def test_the_plan_is_the_same_under_every_hash_seed(tmp_path: Path, table: bool) -> None:
    files: dict[str, bytes | str] = {f"{name}/{n}.jpg": jpeg(n) for name in ("ant", "bee", "cat") for n in range(4)}
    rows = [{"image": name, "zeta": 1, "alpha": {"y": 1, "x": [2]}, "label": name[:3]} for name in files]
    files["t.jsonl"] = "\n".join(json.dumps(row) for row in rows)
    raw = write_files(tmp_path / "raw", files)
    code = (
        "import sys; from pathlib import Path; from ingest.plan import make_plan; from ingest.settings import *; "
        "from ingest.sources.detect import *; "
        "s = open_source(sys.argv[1]); "
        "p = make_plan(s.scan(), IngestSettings()); print(p.plan_id, p.classes, p.fields)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, str(raw / "t.jsonl" if table else raw)],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and b"('ant', 'bee', 'cat')" in said.pop()


def test_an_identity_that_occurs_twice_is_kept_once_and_rejected_once() -> None:
    plan = make_plan(checked([item("a"), item("b"), item("a")]), IngestSettings())
    problems = [planned.item.problem[0] for planned in plan.items if planned.item.problem]
    assert problems == [RejectReason.DUPLICATE_MEMBER]
    assert len(plan.items) == 3


def test_classes_are_sorted_and_numbered() -> None:
    plan = make_plan([item("1", label="b"), item("2", label="a"), item("3")], IngestSettings())
    assert plan.classes == ("a", "b")
    assert {planned.item.identity: planned.label for planned in plan.items} == {"1": 1, "2": 0, "3": -1}


def test_an_empty_listing_is_refused() -> None:
    with pytest.raises(SourceError, match="holds nothing to ingest"):
        make_plan([], IngestSettings())


def plan_of(count: int, **changed: object) -> Plan:
    return make_plan([item(f"i{n}") for n in range(count)], IngestSettings(**changed))  # type: ignore[arg-type]


def test_a_plan_comes_back_from_its_file_shard_by_shard(tmp_path: Path) -> None:
    items = [
        RawItem(
            identity="caf\udce9",
            parts=(
                Part(field="image", kind="image", uri="caf\udce9.zip", member="\udce9", size=3, modified_ns=2**60),
                Part(field="video", kind="video", uri="v.mp4", start_s=0.5, end_s=1.25),
                Part(field="text", kind="text", inline=b"\xff"),
            ),
            label="cat",
            licence="CC0",
            columns={"b": [1, {"c": None}], "a": 0.5},
            group="drive \udce9",
            place=7,
        ),
        RawItem(identity="bad", parts=(), problem=(RejectReason.MISSING_FILE, "gone")),
        *(item(f"i{n}") for n in range(7)),
    ]
    plan = make_plan(items, IngestSettings(shard_size=4))
    commit_plan(tmp_path, plan)
    assert [entry for shard in range(3) for entry in read_planned_items(tmp_path / PLAN, shard)] == plan.items
    header = read_plan_header(tmp_path)
    assert (header.plan_id, header.settings, header.fields) == (plan.plan_id, plan.settings, plan.fields)
    assert header.splits == tuple(plan.splits) == ("", "", "")


def test_a_shard_holds_items_of_one_split() -> None:
    items = [item(f"i{number}", split="val" if number % 3 == 0 else "train") for number in range(50)]
    plan = make_plan(items, IngestSettings(shard_size=10))
    assert list(plan.splits) == ["train"] * 4 + ["val"] * 2
    assert [len(members) for members in plan.shards()] == [10, 10, 10, 3, 10, 7]
    assert all(planned.item.split == plan.splits[planned.shard] for planned in plan.items)


def test_a_field_of_two_kinds_is_refused_with_both_items() -> None:
    rasters = RawItem(identity="b", parts=(Part(field="image", kind="raster", uri="b.npy"),))
    with pytest.raises(SourceError, match="Field 'image' is of kind image in 'a' and of kind raster in 'b'"):
        make_plan([item("a"), rasters], IngestSettings())


def test_a_required_field_that_no_item_has_is_refused_before_anything_is_read() -> None:
    with pytest.raises(
        SettingsError, match=r"--require imge: the source has no such field; it has image. Did you mean"
    ):
        make_plan([item("a")], IngestSettings(require=("imge",)))


def test_a_video_declares_its_sound_and_its_features() -> None:
    parts = (Part(field="video", kind="video", uri="a.mp4"), Part(field="front", kind="video", uri="b.mp4"))
    plan = make_plan([RawItem(identity="a", parts=parts)], IngestSettings())
    assert plan.fields == {
        "video": "frames",
        "front": "frames",
        "audio": "audio",
        "front_audio": "audio",
        "logmel": "logmel",
        "front_logmel": "logmel",
    }


def test_the_same_plan_may_be_committed_again(tmp_path: Path) -> None:
    commit_plan(tmp_path, plan_of(5))
    before = (tmp_path / "plan.arrow").read_bytes()
    commit_plan(tmp_path, plan_of(5))
    assert (tmp_path / "plan.arrow").read_bytes() == before


def test_another_plan_is_refused_with_what_has_changed(tmp_path: Path) -> None:
    commit_plan(tmp_path, plan_of(5))
    with pytest.raises(PlanMismatchError, match=r"\(image_size: None -> 64; seed: 0 -> 2\)"):
        commit_plan(tmp_path, plan_of(5, image_size=64, seed=2))
    with pytest.raises(PlanMismatchError, match="the source: 5 items listed then, 6 now"):
        commit_plan(tmp_path, plan_of(6))


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_changed_source_is_refused_on_resume_with_what_has_changed(
    tmp_path: Path, run_ingest: Run, is_finished: bool
) -> None:
    raw, out = write_files(tmp_path / "raw", {f"{n}.jpg": jpeg(n) for n in range(4)}), tmp_path / "out"
    run_ingest(raw, out)
    if not is_finished:
        (out / "dataset.json").unlink()
    with pytest.raises(PlanMismatchError, match=r"jpeg_quality: 92 -> 50.*Ingest into a new folder"):
        run_ingest(raw, out, jpeg_quality=50)
    (raw / "1.jpg").write_bytes(jpeg(9))
    with pytest.raises(PlanMismatchError, match="the source: 4 items listed then, 4 now, or some of them have changed"):
        run_ingest(raw, out)
    (raw / "5.jpg").write_bytes(jpeg(5))
    with pytest.raises(PlanMismatchError, match="the source: 4 items listed then, 5 now"):
        run_ingest(raw, out)


def test_a_rewritten_parquet_file_is_another_source(tmp_path: Path, run_ingest: Run) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    first, second = jpeg(1), jpeg(1)[:-3] + b"\0" + jpeg(1)[-2:]
    assert len(first) == len(second)
    for data in (first, second):
        pq.write_table(pa.table({"image": [data]}), path)
        os.utime(path, ns=(0, len(list(tmp_path.iterdir())) * 10**9))
        if data is first:
            run_ingest(path, tmp_path / "out")
    with pytest.raises(PlanMismatchError, match="some of them have changed"):
        run_ingest(path, tmp_path / "out")


def test_only_what_every_installation_has_decides_stored_bytes() -> None:
    """A plan asks for the version of each; one that is installed for tests only would make a clean installation fail."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = {re.match(r"[A-Za-z0-9_.\-]+", text)[0].lower() for text in project["dependencies"]}  # type: ignore[index]
    pulled_in = {"lazrs", "maskloom"}  # by laspy[lazrs], and the project itself
    assert set(SOFTWARE) <= required | pulled_in
