"""The demo by itself, with the commands it runs only noted."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples import demo

Commands = list[tuple[str, ...]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands that the demo runs; scripts make their folder, maskloom makes nothing."""
    noted: Commands = []

    def note(*words: object) -> None:
        noted.append(tuple(map(str, words)))
        if words[0] == "python":
            Path(str(words[2])).mkdir(parents=True)

    monkeypatch.setattr(demo, "run", note)
    return noted


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def begin(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["demo.py", *map(str, arguments)])
        demo.main()

    return begin


def datasets(commands: Commands) -> set[str]:
    return {words[3] for words in commands if words[1] == "ingest"}


def test_sample_data_and_own_data_share_no_folder(
    commands: Commands, start: Callable[..., None], tmp_path: Path
) -> None:
    out, own = tmp_path / "demo", tmp_path / "my pictures"
    start("--out", out)
    first = datasets(commands)
    commands.clear()
    start("--out", out, "--data", own)
    assert datasets(commands) == {str(out / "own" / "my pictures" / "dataset")}
    assert not first & datasets(commands)


def test_sample_data_whose_writing_was_interrupted_is_written_again(
    commands: Commands, start: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = demo.run

    def interrupted(*words: object) -> None:
        note(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start("--out", tmp_path)
    assert not (tmp_path / "raw" / "world").exists()
    monkeypatch.setattr(demo, "run", note)
    start("--out", tmp_path)
    assert [path.name for path in sorted((tmp_path / "raw").iterdir())] == ["pictures", "world"]
    assert sum("world.py" in words[1] for words in commands) == 2


def test_commands_are_printed_so_that_a_shell_understands_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "a b.py"
    script.write_text("import sys\nsys.exit(sys.argv[1] != 'c d')\n")
    demo.run("python", script, "c d")
    assert capsys.readouterr().out == f"\n$ python '{script}' 'c d'\n"
