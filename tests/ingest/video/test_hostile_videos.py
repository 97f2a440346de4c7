import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, VideoSettings
from ingest.video.store import store_video
from pipelines.transforms.frames import decode_frames
from shards.schema import RejectReason
from tests.ingest.hostile import hostile_files
from tests.ingest.video.footage import film, tone

PLAIN = IngestSettings(video=VideoSettings(frames=4))

_SEEDS = [
    film(12, options={"bf": "2", "g": "6"}),
    film(12, sound=tone(0.5)),
    film(12, container="matroska", sound=tone(0.5)),
    film(12, codec="libvpx", container="webm"),
    film(12, codec="libvpx-vp9", container="webm"),
    film(12, codec="mpeg4", container="avi", options={"bf": "2"}),
    film(12, codec="mpeg2video", container="mpegts"),
    film(12, codec="mjpeg", container="mov", pixel_format="yuvj420p"),
    film(12, turn=(90, False)),
]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_stored_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(_SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    file = file[: data.draw(st.integers(0, len(file)))] if data.draw(st.booleans()) else file
    try:
        video, *_ = store_video(Raw.of(bytes(file), name="clip"), "video", PLAIN, start_s=None, end_s=None)
    except Rejection as rejection:
        assert rejection.reason in RejectReason and rejection.detail
        return
    assert isinstance(video.data, tuple) and 1 <= len(video.data) <= 4
    assert decode_frames(video.data).shape == (len(video.data), video.facts["height"], video.facts["width"], 3)


_CHILD = """
import sys
from pathlib import Path
from ingest.raw import Raw
from ingest.rejection import Rejection
from ingest.settings import IngestSettings, VideoSettings, VideoStore
from ingest.video.store import store_video
path = Path(sys.argv[1])
raw = Raw(name=path.name, size=path.stat().st_size, opener=lambda: path.open("rb"))
for store in VideoStore:
    settings = IngestSettings(image_size=128, video=VideoSettings(frames=8, store=store))
    try:
        fields = store_video(raw, "video", settings, start_s=None, end_s=1.5)
        print("stored", *(field.name for field in fields))
    except Rejection as rejection:
        print("refused", rejection.reason.value)
"""


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("path", hostile_files("video"))
def test_odd_files_of_others_are_stored_or_refused_without_a_crash(path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CHILD, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert child.returncode == 0, child.stderr
    assert [line.split()[0] in ("stored", "refused") for line in child.stdout.splitlines()] == [True, True]
