"""The command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

import maskloom
from shards.errors import SettingsError, StorageError
from trainers.adoption import adopt_weights
from trainers.checkpoint import latest
from trainers.commands import app
from trainers.launch import Request
from trainers.published.naming import WeightsError
from trainers.registry import resolve_recipe
from trainers.run import RunFolder, RunMismatchError
from trainers.run_card import RunCardError

RUNNER = CliRunner()


def settings(asked: Request) -> list[str]:
    return [word for setting in asked.settings for word in ("--set", setting)]


def call(*words: object) -> str:
    result = RUNNER.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_train_eval_and_report_from_the_command_line(asked: Request) -> None:
    words = ["train", "mae", "--data", asked.data[0], "--out", asked.out, "--size", "tiny", "--device", "cpu"]
    shape = [*settings(asked), "--batch", 20, "--steps", 3, "--workers", 0]
    assert "is complete: 3 steps" in call(*words, *shape)
    assert "is complete: 3 steps" in call(*words, *shape)
    assert json.loads((asked.out / "run.json").read_text())["resolved"]["training"]["batch"] == 20
    output = call("eval", asked.out, "--data", asked.data[0], "--workers", 0, "--device", "cpu")
    assert "trained encoder" in output
    assert "raw pixels" in output
    assert "Reconstructions of samples" in (asked.out / "report.html").read_text()


def test_recipes_lists_name_paper_and_summary() -> None:
    output = call("recipes")
    assert "mae" in output
    assert "arXiv:2111.06377" in output
    assert "maskfeat" in output


def test_recipes_tells_which_stored_targets_a_recipe_reads() -> None:
    lines = call("recipes").splitlines()
    assert any("maskdistill" in line and "clip:" in line for line in lines)
    assert not any("│ mae " in line and "clip" in line for line in lines)


def test_import_makes_a_run_that_can_be_evaluated(asked: Request, unlabelled: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "imported", tmp_path / "official.safetensors"
    recipe = resolve_recipe("mae", size="tiny", settings=asked.settings)
    network = recipe.network(seed=5)
    save_file(official(network.state_dict()), weights)
    call("import", "mae", weights, "--out", out, "--size", "tiny", *settings(asked))
    found = latest(out / "checkpoints")
    assert found is not None
    assert found.progress.step == 0
    assert all((found.model[name] == value).all() for name, value in network.state_dict().items())
    assert "has no labels" in call("eval", out, "--data", unlabelled, "--workers", 0, "--device", "cpu")


def official(state: dict[str, object]) -> dict[str, object]:
    """Our names as the official code writes them."""
    renamed = {}
    for name, value in state.items():
        for ours, theirs in (
            ("encoder.class_token", "cls_token"),
            ("decoder.mask_token", "mask_token"),
            ("encoder.embed", "patch_embed.proj"),
            ("decoder.embed", "decoder_embed"),
            ("heads.patches", "decoder_pred"),
            ("encoder.blocks", "blocks"),
            ("decoder.blocks", "decoder_blocks"),
            ("encoder.norm", "norm"),
            ("decoder.norm", "decoder_norm"),
            ("attention.projection", "attn.proj"),
            ("attention.qkv", "attn.qkv"),
            ("perceptron.expand", "mlp.fc1"),
            ("perceptron.contract", "mlp.fc2"),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed


def test_import_of_something_else_leaves_no_run(asked: Request, tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_file(
        {"cls_token": resolve_recipe("mae", size="tiny").network(seed=0).state_dict()["encoder.class_token"]}, weights
    )
    with pytest.raises(WeightsError):
        call("import", "mae", weights, "--out", tmp_path / "run", "--size", "tiny")
    assert not (tmp_path / "run").exists()


def test_import_for_a_recipe_without_published_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="maskfeat"):
        call("import", "maskfeat", tmp_path / "w.pth", "--out", tmp_path / "run", "--size", "tiny")


@pytest.mark.parametrize("name", ["train", "eval", "import", "recipes"])
def test_help_has_an_example(name: str) -> None:
    output = call(name, "--help")
    assert "Example" in output
    assert f"maskloom {name}" in output


def test_help_does_not_import_torch() -> None:
    program = "import sys, trainers.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_stopped_training_exits_like_a_stopped_process(monkeypatch: pytest.MonkeyPatch, asked: Request) -> None:
    import trainers.launch
    from trainers.loop import Ending

    monkeypatch.setattr(trainers.launch, "train_run", lambda *_, **__: Ending(step=7, signal=15))
    result = RUNNER.invoke(app, ["train", "mae", "--data", str(asked.data[0]), "--out", str(asked.out)])
    assert result.exit_code == 143
    assert "Stopped after step 7" in result.output
    assert isinstance(app, typer.Typer)


@pytest.mark.parametrize(
    "line",
    [
        "maskloom train mae --data photos --out runs/first --size tiny --batch 64 --epochs 20",
        "maskloom eval runs/first --data photos --limit 5000",
        "maskloom import mae mae_pretrain_vit_base_full.pth --out runs/official",
        "maskloom eval runs/official --data photos",
    ],
)
def test_every_example_of_the_help_stands_on_a_line_of_its_own(line: str) -> None:
    words = ["import"] if "official" in line else [line.split()[1]]
    output = RUNNER.invoke(maskloom.app, [*words, "--help"], terminal_width=80).output
    assert line in [shown.strip() for shown in output.splitlines()]


def test_a_run_of_ones_own_recipe_is_evaluated_when_its_name_is_typed_again(
    asked: Request, unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "at_home.py").write_text("from trainers.recipes.mae import recipe\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    words = ["--out", asked.out, "--size", "tiny", "--device", "cpu", "--workers", 0, "--steps", 1, *settings(asked)]
    assert "is complete" in call("train", "at_home:recipe", "--data", asked.data[0], *words)
    evaluation = ["eval", asked.out, "--data", unlabelled, "--workers", 0, "--device", "cpu"]
    with pytest.raises(RunCardError, match="--recipe at_home:recipe"):
        call(*evaluation)
    with pytest.raises(RunCardError, match="'at_home:other' was asked for"):
        call(*evaluation, "--recipe", "at_home:other")
    assert "has no labels" in call(*evaluation, "--recipe", "at_home:recipe")


def test_an_import_that_was_interrupted_is_completed_and_not_repeated(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, weights = tmp_path / "imported", tmp_path / "official.safetensors"
    network = resolve_recipe("mae", size="tiny", settings=asked.settings).network(seed=5)
    save_file(official(network.state_dict()), weights)
    words = ["import", "mae", weights, "--out", out, "--size", "tiny", *settings(asked)]

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainers.adoption.write", fail)
    with pytest.raises(KeyboardInterrupt):
        adopt_weights("mae", weights, out, size="tiny", settings=asked.settings, part="network")
    monkeypatch.undo()
    assert RunFolder(out).exists()
    call(*words)
    assert latest(out / "checkpoints") is not None
    with pytest.raises(RunMismatchError, match="holds a run already"):
        call(*words)


def test_an_import_to_where_nothing_can_be_written_is_a_storage_error(asked: Request, tmp_path: Path) -> None:
    weights = tmp_path / "official.safetensors"
    network = resolve_recipe("mae", size="tiny", settings=asked.settings).network(seed=5)
    save_file(official(network.state_dict()), weights)
    with pytest.raises(StorageError):
        call("import", "mae", weights, "--out", weights / "run", "--size", "tiny", *settings(asked))
