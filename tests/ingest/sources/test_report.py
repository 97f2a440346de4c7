from pathlib import Path

from ingest.items import Part, RawItem
from ingest.sources.report import Rule, Tally, Understanding
from shards.schema import RejectReason
from tests.ingest.listing import opened
from tests.ingest.pictures import jpeg, write_files


def test_a_tally_counts_combinations_problems_and_what_is_ignored(tmp_path: Path) -> None:
    files = {
        "a.jpg": jpeg(1),
        "a.txt": "one",
        "b.jpg": jpeg(2),
        "c.jpg": jpeg(3),
        "d.jpg": b"",
        "d.cls": b"\xff",
        "x.pdf": "",
    }
    source = opened(write_files(tmp_path, files))
    tally = Tally(most_shown=2)
    assert len(list(tally.watch(source.scan()))) == 4
    lines = "\n".join(tally.lines(source.ignored))
    assert tally.items == 4
    assert dict(tally.combinations) == {("image", "text"): 1, ("image",): 2}
    assert dict(tally.problems) == {"invalid_label": 1}
    assert "2  image\n" in lines and "1  image + text\n" in lines
    assert "rejected by the listing, invalid_label: d.cls should hold" in lines
    assert "1  not looked at, .pdf" in lines
    assert lines.count("image          image    ") == 2


def test_whatever_a_source_holds_can_be_shown_without_its_secrets() -> None:
    parts = (
        Part(field="image", kind="image", uri="https://me:secret@host/a.jpg?sig=secret"),
        Part(field="video", kind="video", uri="caf\udce9.mp4", start_s=1.5, end_s=3.0),
        Part(field="text", kind="text", inline=b"caf\xe9\n" + b"x" * 1000),
    )
    items = [
        RawItem(identity="\udce9", parts=parts, label="l", licence="CC0", columns={"n": 1}),
        RawItem(identity="bad", parts=(), problem=(RejectReason.MISSING_FILE, "caf\udce9 is gone")),
    ]
    tally = Tally()
    list(tally.watch(items))
    lines = "\n".join(tally.lines({"\udce9": 1}))
    lines.encode("utf-8")
    assert "secret" not in lines and "https://host/a.jpg" in lines
    assert "from 1.5 s to 3 s" in lines and all(len(line) < 300 for line in lines.splitlines())


def test_an_understanding_is_one_sentence_and_a_few_lines() -> None:
    understanding = Understanding(
        kind="folder",
        place="photos",
        items="files that share a stem",
        labels="no labels",
        rules=(Rule(found="*_depth.png", field="depth", kind="raster"),),
        notes=("list.csv is not read",),
    )
    assert understanding.sentence == "folder photos: files that share a stem; depth from *_depth.png; no labels"
    lines = list(understanding.lines())
    assert lines[0] == "folder: photos" and any("*_depth.png (raster)" in line for line in lines)
    assert lines[-1].endswith("list.csv is not read")


def test_a_folder_with_a_table_beside_says_that_it_is_not_read(tmp_path: Path) -> None:
    source = opened(write_files(tmp_path, {"a.jpg": jpeg(1), "list.csv": "image\na.jpg\n"}))
    assert source.understanding.notes == ("list.csv is not read; to use what it says, name it as the source",)
