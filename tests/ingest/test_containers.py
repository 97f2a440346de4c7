import pytest

from ingest.containers import OF_VIDEO, SIGNATURE_BYTES, sniff
from tests.ingest.audio_files import muxed, tone, written
from tests.ingest.video.footage import film

RATE = 48_000


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (written(tone(0.1, 16_000), 16_000, "WAV"), "WAV"),
        (written(tone(0.1, 16_000), 16_000, "RF64"), "WAV"),
        (written(tone(0.1, 16_000), 16_000, "AIFF"), "AIFF"),
        (written(tone(0.1, 16_000), 16_000, "CAF"), "CAF"),
        (written(tone(0.1, 16_000), 16_000, "MP3"), "MP3"),
        (b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + written(tone(0.1, 16_000), 16_000, "MP3"), "MP3"),
        (b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + muxed(tone(0.1, 16_000), 16_000, "adts", "aac"), "AAC"),
        (b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + written(tone(0.1, 16_000), 16_000, "FLAC"), "FLAC"),
        (muxed(tone(0.1, RATE), RATE, "webm", "libopus"), "Matroska"),
        (muxed(tone(0.1, 8000), 8000, "3gp", "libopencore_amrnb"), "MP4"),
        (muxed(tone(0.5, RATE), RATE, "mpegts", "aac"), "MPEG transport stream"),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(data: bytes, name: str) -> None:
    container = sniff(data)
    assert container is not None and container.name == name


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFFxxxxWEBP", b"FORMxxxxILBM", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"ID3"]
)
def test_other_files_are_none_that_may_hold_sound(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [
        ("mpeg4", "mp4", "MP4"),
        ("mpeg4", "mov", "MP4"),
        ("mpeg4", "matroska", "Matroska"),
        ("mpeg4", "avi", "AVI"),
        ("mpeg2video", "mpeg", "MPEG program stream"),
        ("mpeg2video", "mpegts", "MPEG transport stream"),
        ("flv", "flv", "FLV"),
        ("wmv2", "asf", "ASF"),
        ("libvpx", "ogg", "Ogg"),
    ],
)
def test_a_file_with_moving_pictures_is_known_by_its_first_few_bytes(codec: str, container: str, name: str) -> None:
    found = sniff(film(12, codec=codec, container=container)[:SIGNATURE_BYTES])
    assert found in OF_VIDEO and found.name == name


def test_no_moving_pictures_are_looked_for_in_a_file_of_sound_alone() -> None:
    for kind in ("WAV", "AIFF", "CAF", "MP3", "FLAC"):
        assert sniff(written(tone(0.1, 16_000), 16_000, kind)) not in OF_VIDEO
