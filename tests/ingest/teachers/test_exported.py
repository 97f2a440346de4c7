"""Networks of the user's own as teachers: programs of torch.export, and functions that were typed."""

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ingest.networks.resizing import Preparation
from ingest.teachers import Teacher, build_teacher, new_teacher, teacher_settings
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from shards.errors import SettingsError
from tests.ingest.teachers.checkpoints import CPU, Payload, some_pictures


class Network(nn.Module):
    """Patches through a convolution, a norm that depends on the batch in training only, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 16, 16)
        self.norm = nn.BatchNorm2d(16)
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.embed(images)).flatten(2).transpose(1, 2)
        found: Tensor = self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return torch.nn.functional.gelu(found, approximate="tanh") + torch.arange(16.0)


class Nearest(nn.Module):
    """Ids of the colour that is largest in every patch."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images, 16).flatten(2).argmax(dim=1)


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network().eval()


def export(path: Path, module: nn.Module, *, side: int = 32, batch: int = 2, dynamic: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if dynamic else None
    with torch.no_grad():
        program = torch.export.export(module.eval(), (torch.randn(batch, 3, side, side),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def file(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("exported") / "network.pt2", network)


def teacher(file: Path, *settings: str, size: int = 32) -> Teacher:
    return new_teacher("exported", size=size, settings=[f"program={file}", *settings])


def shown(side: int = 32, size: int = 32, count: int = 3) -> Tensor:
    return Preparation(size=side, mean=IMAGENET_MEAN, deviation=IMAGENET_STD)(some_pictures(count, size))


def test_a_program_gives_what_the_network_gave(network: Network, file: Path) -> None:
    asked = teacher(file)
    compute = asked.load(CPU)
    found = compute(some_pictures(size=32))
    with torch.inference_mode():
        wanted = network(shown())
    assert found.shape[1:] == asked.shape == (4, 16)
    assert torch.allclose(found, wanted, atol=1e-5)
    for row in range(3):
        assert torch.allclose(compute(some_pictures(size=32)[row : row + 1])[0], wanted[row], atol=1e-5)
    assert compute(some_pictures(100, size=32)).shape == (100, 4, 16)


def test_views_are_resized_to_what_the_program_takes(network: Network, file: Path) -> None:
    asked = teacher(file, size=48)
    with torch.inference_mode():
        wanted = network(shown(side=32, size=48))
    assert torch.allclose(asked.load(CPU)(some_pictures(size=48)), wanted, atol=1e-5)
    with pytest.raises(SettingsError, match="takes pictures of 32 pixels; input_size=48"):
        _ = teacher(file, "input_size=48", size=48).preprocessing


@pytest.mark.parametrize("batch", [1, 2])
def test_a_program_for_a_fixed_batch_takes_any(batch: int, network: Network, tmp_path: Path) -> None:
    fixed = export(tmp_path / "fixed.pt2", network, batch=batch, dynamic=False)
    with torch.inference_mode():
        wanted = network(shown())
    assert torch.allclose(teacher(fixed).load(CPU)(some_pictures(size=32)), wanted, atol=1e-5)


def test_ids_are_whole_numbers_and_have_to_be_announced(tmp_path: Path, file: Path) -> None:
    ids = export(tmp_path / "ids.pt2", Nearest())
    asked = teacher(ids, "ids=3", "normalisation=unit")
    found = asked.load(CPU)(some_pictures(size=32))
    assert asked.vocabulary == 3
    assert asked.shape == (4,)
    assert found.dtype == torch.int64
    assert torch.equal(found, Nearest()(some_pictures(size=32) / 255))
    with pytest.raises(SettingsError, match=r"gives torch\.int64, but ids=0"):
        teacher(ids).load(CPU)(some_pictures(size=32))
    with pytest.raises(SettingsError, match=r"gives torch\.float32, but ids=3"):
        teacher(file, "ids=3").load(CPU)(some_pictures(size=32))


def test_bf16_gives_float32(file: Path) -> None:
    compute = teacher(file).load(CPU)
    with torch.autocast("cpu", torch.bfloat16):
        assert compute(some_pictures(size=32)).dtype == torch.float32


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **added: bytes) -> Path:
    """Copy an archive with parts changed, or left out, or added; parts are aligned as torch's reader wants them."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            content = change(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in added.items():
            new.writestr(f"{root}/{name}", content)
    return target


def in_model(edit: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if name != "models/model.json":
            return content
        model = json.loads(content)
        edit(model)
        return json.dumps(model).encode()

    return change


def nodes(model: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = model["graph_module"]["graph"]["nodes"]
    return found


def call_the_system(model: dict[str, Any]) -> None:
    nodes(model)[0]["target"] = "torch.serialization.os.system"


def open_a_file(model: dict[str, Any]) -> None:
    nodes(model)[0]["target"] = "torch.ops.aten.from_file.default"


def save_a_file(model: dict[str, Any]) -> None:
    nodes(model)[0]["target"] = "torch.ops.aten.save.default"


def name_that_is_code(model: dict[str, Any]) -> None:
    model["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=__import__('os').system('true')"


def shape_that_is_code(model: dict[str, Any]) -> None:
    sizes = next(iter(model["graph_module"]["graph"]["tensor_values"].values()))["sizes"]
    sizes[0] = {"as_expr": {"expr_str": "__import__('os').system('true')", "hint": None}}


def guards(model: dict[str, Any]) -> None:
    model["guards_code"] = ["x"]


def structure_of_a_library(model: dict[str, Any]) -> None:
    signature = model["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = signature["in_spec"].replace("builtins.tuple", "subprocess.Popen")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (call_the_system, r"it calls 'torch\.serialization\.os\.system'"),
        (open_a_file, "it calls 'torch.ops.aten.from_file"),
        (save_a_file, "it calls 'torch.ops.aten.save"),
        (name_that_is_code, "'name' says .* which could be code"),
        (shape_that_is_code, "'expr_str' says .* which could be code"),
        (guards, "guards, which are code"),
        (structure_of_a_library, "'in_spec' says .* which could be code"),
    ],
)
def test_a_program_that_says_more_than_a_network_is_not_loaded(
    edit: Callable[[dict[str, Any]], None], complaint: str, file: Path, tmp_path: Path
) -> None:
    hostile = rewritten(file, tmp_path / "hostile.pt2", in_model(edit))
    with pytest.raises(SettingsError, match=complaint):
        teacher(hostile).load(CPU)


def test_an_archive_that_was_only_copied_is_loaded(file: Path, tmp_path: Path) -> None:
    copied = rewritten(file, tmp_path / "copied.pt2", lambda name, content: content)
    assert teacher(copied).shape == (4, 16)


def pickled(witness: Path) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(Payload(witness), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("place", ["example inputs", "weights", "constants", "older weights", "a library"])
def test_code_in_a_program_is_refused_and_not_executed(place: str, file: Path, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    payload = pickled(witness)
    added: dict[str, bytes] = {}

    def change(name: str, content: bytes) -> bytes:
        if place == "example inputs" and name == "data/sample_inputs/model.pt":
            return payload
        if place == "weights" and name == "data/weights/weight_0":
            return payload
        if place == "weights" and name == "data/weights/model_weights_config.json":
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        if place == "constants" and name == "data/constants/model_constants_config.json":
            entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
            return json.dumps({"config": {"x": entry}}).encode()
        return content

    if place == "older weights":
        added["data/weights/model.pt"] = payload
    if place == "a library":
        added["data/aotinductor/model/model.so"] = b"\x7fELF"
    hostile = rewritten(file, tmp_path / "hostile.pt2", change, **added)
    with pytest.raises(SettingsError, match="was not loaded, and nothing in it executed"):
        _ = teacher(hostile).shape
    with pytest.raises(SettingsError, match="was not loaded, and nothing in it executed"):
        teacher(hostile).load(CPU)
    assert not witness.exists()


def test_the_older_format_is_refused_and_not_executed(file: Path, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    with zipfile.ZipFile(tmp_path / "older.pt2", "w") as archive:
        archive.writestr("version", "8.9")
        archive.writestr("serialized_exported_program.json", "{}")
        for part in ("state_dict", "constants", "example_inputs"):
            archive.writestr(f"serialized_{part}.pt", pickled(witness))
    with pytest.raises(SettingsError, match=r"not a program that torch\.export\.save"):
        teacher(tmp_path / "older.pt2").load(CPU)
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"nothing"])
def test_a_file_that_is_no_program_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "none.pt2").write_bytes(content)
    with pytest.raises(SettingsError, match=r"not a program that torch\.export\.save"):
        teacher(tmp_path / "none.pt2").load(CPU)
    with pytest.raises(SettingsError, match="There is no exported program"):
        teacher(tmp_path / "missing.pt2").load(CPU)


OWN_CODE = """
import torch

class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, images):
        return self.scale * images.mean(dim=(2, 3))

def module():
    return Mean()

def plain():
    return lambda images: images.amax(dim=(1, 2, 3))[:, None]

number = 3
"""


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_teacher.py").write_text(OWN_CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("own_teacher", None)


@pytest.mark.usefixtures("own_code")
def test_a_function_that_was_typed_is_followed() -> None:
    asked = new_teacher("exported", size=32, settings=["function=own_teacher:module"])
    found = asked.load(CPU)(some_pictures(size=32))
    assert found.shape[1:] == asked.shape == (3,)
    assert torch.allclose(found, 2 * shown().mean(dim=(2, 3)), atol=1e-5)
    assert asked.weights_sha256 is not None
    plain = new_teacher("exported", size=32, settings=["function=own_teacher:plain", "normalisation=unit"])
    source = Path(sys.modules["own_teacher"].__file__ or "")
    before = plain.weights_sha256
    source.write_text(source.read_text() + "\n# changed\n")
    assert plain.weights_sha256 != before
    assert plain.load(CPU)(some_pictures(size=32)).max() <= 1


@pytest.mark.usefixtures("own_code")
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["function=own_teacher:modul"], "Did you mean 'module'"),
        (["function=own_teacher:number"], "found a int"),
        (["function=nowhere.at_all:module"], "no module 'nowhere'"),
        (["function=own_teacher"], "named package.module:function"),
        ([], "give one"),
        (["function=own_teacher:module", "program=x.pt2"], "give one"),
    ],
)
def test_a_function_that_is_none_is_refused(settings: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        _ = new_teacher("exported", size=32, settings=settings).shape


@pytest.mark.usefixtures("own_code")
def test_rebuilding_a_teacher_from_what_was_recorded_imports_nothing() -> None:
    recorded = teacher_settings(new_teacher("exported", size=32, settings=["function=own_teacher:module"]))
    again = build_teacher("exported", recorded)
    assert again.modality.name == "image"  # type: ignore[union-attr]
    assert "own_teacher" not in sys.modules
