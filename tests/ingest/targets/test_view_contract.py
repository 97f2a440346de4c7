"""What is stored of a view is what the teacher says of the very pixels, sound and words that a trainer is given."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ingest.cluster import Cluster
from ingest.targets.look import Look, Wish, look_of
from ingest.targets.run import precompute
from ingest.targets.spec import Manner, default_coding, make_spec
from ingest.teachers import new_teacher, teacher_names
from pipelines.component import Component
from pipelines.modalities import Text
from pipelines.stream import Stream
from pipelines.target_coding import decode, decoder_of, encode, projection_of
from pipelines.tokenizers.byte import ByteTokenizer
from shards.dataset import Dataset
from shards.target_spec import parse_coding
from shards.target_table import TargetTable
from tests.conftest import silent
from tests.ingest.teachers.seeded import SIDE, seeded_settings
from tests.pipelines.many_kinds import FIELDS, write_many_kinds

MANNER = Manner(device="cpu", batch=6, cores=1, threads=2)
SAMPLES = 10
WORDS = Text(length=8, tokenizer=ByteTokenizer(), name="words")
"""Streamed beside what the teacher looks at, because one sample has nothing else."""
STORES = {"float32": 0.99999, "float16": 0.999, "int8": 0.999, "pca:24": 0.9, "pca:24:int8": 0.9}
"""The codings, and the least cosine that a row must keep; components are as good as the teacher's values are correlated."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A teacher with its settings, and the wish of the views."""

    teacher: str
    settings: tuple[str, ...] = ()
    wish: Wish


CROPS = Wish(views=2, scale=(0.3, 1.0))
SOUND = Wish(views=2)
CASES = {
    "hog": Case(teacher="hog", wish=Wish(views=3, scale=(0.3, 1.0))),
    "hog of grey": Case(teacher="hog", settings=("channels=grey",), wish=CROPS),
    "hog of frames": Case(teacher="hog", wish=Wish(views=2, scale=(0.3, 1.0), field="video", frames=4)),
    "hog of an mp4": Case(teacher="hog", wish=Wish(views=2, field="mp4", frames=4, stride=2, tubelet=1)),
    "clip": Case(teacher="clip", wish=CROPS),
    "clip of frames": Case(teacher="clip", settings=("output=pooled",), wish=Wish(views=1, field="video", frames=2)),
    "clip of texts": Case(teacher="clip", settings=("output=text",), wish=CROPS),
    "dino": Case(teacher="dino", wish=CROPS),
    "dino, attention": Case(teacher="dino", settings=("output=attention",), wish=CROPS),
    "exported": Case(teacher="exported", wish=CROPS),
    "logmel": Case(teacher="logmel", wish=SOUND),
    "pixels": Case(teacher="pixels", wish=CROPS),
    "random": Case(teacher="random", wish=CROPS),
    "tokens": Case(teacher="tokens", wish=CROPS),
}
STORED = [("hog", store) for store in STORES] + [("hog of frames", "int8")] + [(name, "float16") for name in CASES]
BLUNT = ("clip of texts", "logmel")
"""Not shown pictures, so nothing is to be shifted."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of every kind; one sample of it has nothing but a caption."""
    root = tmp_path_factory.mktemp("scenes") / "dataset"
    write_many_kinds(root, samples=SAMPLES, fields=FIELDS)
    return root


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, ...]]:
    """The settings of every teacher by its name."""
    return seeded_settings(tmp_path_factory.mktemp("weights"))


def test_every_teacher_is_held_to_the_contract() -> None:
    # `dense` needs a model of transformers or torchvision on disk; tests/ingest/teachers compares it with theirs.
    assert {case.teacher for case in CASES.values()} == set(teacher_names()) - {"dense"}


def stored_and_shown(root: Path, look: Look, table: TargetTable) -> tuple[Tensor, Tensor]:
    """Return the decoded rows that two epochs of a stream give, and what it shows with them."""
    dataset = Dataset.open(root)
    assert not isinstance(look.modality, str)
    stream = Stream(
        [Component(dataset=dataset, stored={"said": table})],
        modalities=(look.modality, WORDS),
        views=look.views,
        masking={},
        global_batch=SAMPLES,
        seed=5,
    )
    batches = [next(stream) for _ in range(2)]
    name = look.modality.name
    kept = [batch.lengths.get(name, torch.ones(SAMPLES)) > 0 for batch in batches]
    rows = torch.cat([batch.stored["said"][keep] for batch, keep in zip(batches, kept, strict=True)])
    shown = torch.cat([batch.inputs[name][keep] for batch, keep in zip(batches, kept, strict=True)])
    return decoder_of(table)(rows), shown


def cosines(first: Tensor, second: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(first.flatten(1).float(), second.flatten(1).float())


def distances(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).flatten(1).float().norm(dim=1)


@pytest.mark.parametrize(("name", "store"), STORED)
def test_a_stored_row_is_what_the_teacher_says_of_what_is_trained_on(
    in_process: None, scenes: Path, settings: dict[str, tuple[str, ...]], name: str, store: str
) -> None:
    case = CASES[name]
    dataset = Dataset.open(scenes)
    teacher = new_teacher(case.teacher, size=SIDE, settings=(*settings[case.teacher], *case.settings))
    look = look_of(teacher, case.wish, dataset)
    coding = default_coding(teacher) if teacher.vocabulary else parse_coding(store)
    spec = make_spec(case.teacher, look, coding=coding, precision="fp32")
    sealed = precompute(dataset, spec, manner=MANNER, cluster=Cluster(workers=1), console=silent())
    table = dataset.target(spec.target_id)
    rows, shown = stored_and_shown(scenes, look, table)
    compute = look.load(torch.device("cpu"))

    def coded(views: Tensor) -> Tensor:
        projection = projection_of(table)
        return decode(torch.from_numpy(encode(compute(views), coding, projection)), coding, projection)

    assert len(shown) == 2 * (SAMPLES - sealed.num_blank)
    assert sealed.num_blank == (0 if name == "clip of texts" else 1)
    assert cosines(compute(shown), rows).min() >= STORES[store]
    right = distances(coded(shown), rows)
    assert cosines(coded(shown), rows).min() >= 0.999
    if name not in BLUNT:
        for wrong in (shown.roll(1, -1), shown.roll(1, -2), shown.flip(-1)):
            # Networks that have not learned anything say nearly the same of everything, so cosines alone would hide it.
            assert distances(coded(wrong), rows).median() > 5 * right.max()
