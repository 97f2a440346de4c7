import dataclasses
import io
import itertools
import re
import subprocess
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples import scenes
from examples.scenes import Scene, scene_for
from examples.scenes.motions import Bounce, Motion, Rest, Spin
from examples.scenes.shapes import SOLIDS
from examples.scenes.tracing import GROUND, SKY

WORLD = Path(__file__).parents[2] / "examples" / "world.py"
EVERYTHING_STILL = ("image", "text", "label", "depth", "segmentation", "points", "audio")

indices = st.integers(0, 10**6)


def alone(scene: Scene, **changes: object) -> Scene:
    """The scene with nothing but its main thing, changed."""
    return dataclasses.replace(scene, things=(dataclasses.replace(scene.main, **changes),))


def neighbourhoods(pixels: np.ndarray) -> np.ndarray:
    """Each pixel with its eight neighbours, [height, width, 3, 3]; -1 beyond the border."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(pixels.astype(float), 1, constant_values=-1), (3, 3))


@settings(max_examples=12, deadline=None)
@given(indices)
def test_scanned_points_lie_where_depth_and_segmentation_say(index: int) -> None:
    scene, size = scene_for(0, index), 192
    ids = scenes.segmentation(scene, size=size)
    cloud = scenes.points(scene)
    u, v, metres = scene.camera.project(cloud[:, :3].T)
    rows, columns = (v * size).astype(int), (u * size).astype(int)
    inner = (neighbourhoods(ids)[rows, columns] == ids[rows, columns, None, None]).all(axis=(1, 2))
    assert inner.mean() > 0.7
    around = neighbourhoods(scenes.depth(scene, size=size))[rows, columns][inner]
    millimetres = 1000 * metres[inner]
    agrees = (millimetres > around.min(axis=(1, 2)) - 12) & (millimetres < around.max(axis=(1, 2)) + 12)
    on_ground = np.abs(cloud[inner, 1]) < 1e-3
    agrees &= on_ground == (ids[rows, columns][inner] == GROUND)
    assert agrees.mean() > 0.995  # the others are seen through gaps narrower than a pixel


def test_scanned_points_have_the_colours_of_the_picture() -> None:
    scene = scene_for(0, 2)
    cloud, picture = scenes.points(scene), scenes.render_image(scene, size=192) / 255
    u, v, _ = scene.camera.project(cloud[:, :3].T)
    seen = picture[(v * 192).astype(int), (u * 192).astype(int)]
    assert cloud.shape == (2048, 6)
    assert cloud.dtype == np.float32
    assert np.median(np.abs(cloud[:, 3:] - seen)) < 0.02


@settings(max_examples=25, deadline=None)
@given(indices)
def test_depth_is_missing_exactly_in_the_sky_and_every_thing_is_in_sight(index: int) -> None:
    scene = scene_for(3, index)
    depth, ids = scenes.depth(scene), scenes.segmentation(scene)
    assert ((depth == 0) == (ids == SKY)).all()
    assert set(np.unique(ids)) - {SKY, GROUND} == set(scenes.segment_ids(scene)[2:])
    assert {scenes.SEGMENTS[part] for part in scenes.segment_ids(scene)[2:]} == {thing.kind for thing in scene.things}
    assert (ids == scenes.segment_ids(scene)[2]).mean() > 0.01


@settings(max_examples=50)
@given(st.integers(0, 2**31), indices)
def test_caption_names_exactly_the_things_with_their_colours(seed: int, index: int) -> None:
    scene = scene_for(seed, index)
    words = re.findall(r"[a-z-]+", scenes.caption(scene).lower())
    named = {(colour, kind) for colour, kind in itertools.pairwise(words) if kind in scenes.KINDS}
    assert named == {(thing.colour, thing.kind) for thing in scene.things}
    assert sum(word in scenes.KINDS for word in words) == len(scene.things)
    assert sum(word in scenes.COLOURS for word in words) == len(scene.things)
    assert sum(word in {"small", "medium-sized", "large"} for word in words) == len(scene.things)
    assert {scene.main.motion.verb, scene.main.motion.participle} & set(words)


def test_left_and_right_in_the_caption_are_left_and_right_in_the_picture() -> None:
    checked = 0
    for index in range(120):
        scene = scene_for(0, index)
        ids = scenes.segmentation(scene, size=48)
        column = {kind: np.nonzero(ids == scenes.SEGMENTS.index(kind))[1] for kind in scenes.KINDS}
        relation = rf"\w+s (left|right) of a [a-z -]*?({'|'.join(scenes.KINDS)})\b"
        for side, kind in re.findall(relation, scenes.caption(scene)):
            is_left = column[scene.main.kind].mean() < column[kind].mean()
            assert is_left == (side == "left"), scenes.caption(scene)
            checked += 1
    assert checked > 10


def test_captions_vary_in_phrasing() -> None:
    openings = Counter(scenes.caption(scene_for(0, index)).split(" ")[0] for index in range(100))
    assert len(openings) >= 3


@given(indices)
def test_label_is_the_kind_of_the_largest_thing_which_moves(index: int) -> None:
    scene = scene_for(0, index)
    largest = max(scene.things, key=lambda thing: thing.radius)
    assert scenes.label(scene) == largest.kind == scene.main.kind
    assert not isinstance(scene.main.motion, Rest)
    assert (
        len({thing.kind for thing in scene.things})
        == len({thing.colour for thing in scene.things})
        == len(scene.things)
    )


def test_classes_are_equally_frequent_and_come_in_every_colour_and_motion() -> None:
    made = [scene_for(0, index) for index in range(1000)]
    assert Counter(map(scenes.label, made)) == dict.fromkeys(scenes.KINDS, 100)
    seen = {(scene.main.kind, scene.main.colour) for scene in made}
    assert seen == set(itertools.product(scenes.KINDS, scenes.COLOURS))
    assert {(scene.main.kind, scene.main.motion.verb) for scene in made} == set(
        itertools.product(scenes.KINDS, ("bounces", "slides", "spins"))
    )


@given(st.floats(0.3, 1.0), st.floats(0, 0.99))
def test_a_bounce_touches_the_ground_at_its_impacts_and_nowhere_else(period: float, part: float) -> None:
    bounce = Bounce(period=period, first=part * period)
    impacts = bounce.impacts(scenes.DURATION_S)
    assert all(bounce.offset(time).up == pytest.approx(0, abs=1e-9) for time in impacts)
    times = np.linspace(0, scenes.DURATION_S, 400, endpoint=False)
    low = [time for time in times if bounce.offset(float(time)).up < 1e-4]
    assert all(
        min(abs(time - impact) for impact in (*impacts, scenes.DURATION_S + bounce.period)) < 0.01 for time in low
    )
    middle = bounce.first + period / 2
    assert bounce.offset(middle).up == pytest.approx(bounce.height)


@pytest.mark.parametrize("index", range(10))
def test_the_sound_of_each_bounce_begins_when_it_is_seen_to_land(index: int) -> None:
    scene = alone(scene_for(0, index), motion=Bounce(period=0.61, first=0.237))
    heard = scenes.sound(scene)
    impacts = [0.237, 0.847, 1.457]
    assert scene.main.motion.impacts(scenes.DURATION_S) == pytest.approx(impacts)
    assert not heard[: int(impacts[0] * scenes.SAMPLE_RATE)].any()
    onsets = []
    jumps = np.abs(np.diff(heard, prepend=0))
    for _ in impacts:
        onsets.append(int(jumps.argmax()))
        jumps[max(onsets[-1] - 800, 0) : onsets[-1] + 800] = 0
    assert np.array(sorted(onsets)) / scenes.SAMPLE_RATE == pytest.approx(impacts, abs=2 / scenes.SAMPLE_RATE)
    assert scene.main.centre(impacts[1])[1] == pytest.approx(scene.main.radius * SOLIDS[scene.main.kind].foot)


def test_what_rests_is_silent_and_what_moves_is_heard() -> None:
    for index in range(20):
        scene = scene_for(0, index)
        resting = tuple(dataclasses.replace(thing, motion=Rest()) for thing in scene.things)
        assert not scenes.sound(dataclasses.replace(scene, things=resting)).any()
        heard = scenes.sound(scene)
        assert heard.shape == (32000,)
        assert 0.02 < np.abs(heard).max() < 1


@pytest.mark.parametrize("index", range(10))
def test_half_the_radius_sounds_an_octave_higher(index: int) -> None:
    def mean_hertz(radius: float) -> float:
        heard = scenes.sound(alone(scene_for(0, index), radius=radius, motion=Spin(period=1.0)))
        power = np.square(np.abs(np.fft.rfft(heard)))
        return float(np.average(np.fft.rfftfreq(len(heard), 1 / scenes.SAMPLE_RATE), weights=power))

    assert mean_hertz(0.3) == pytest.approx(2 * mean_hertz(0.6), rel=0.03)


def test_every_kind_has_a_timbre_of_its_own() -> None:
    spectra = []
    for index in range(len(scenes.KINDS)):
        heard = scenes.sound(alone(scene_for(0, index), radius=0.5, motion=Bounce(period=0.6, first=0.1)))
        spectrum = np.abs(np.fft.rfft(heard)).reshape(-1)[:14000].reshape(700, 20).mean(axis=1)
        spectra.append(spectrum / np.linalg.norm(spectrum))
    alike = np.array(spectra) @ np.array(spectra).T - np.eye(len(spectra))
    assert alike.max() < 0.97


def test_every_motion_of_a_main_thing_can_be_seen() -> None:
    for index in range(30):
        scene = alone(scene_for(0, index))
        start = scenes.render_image(scene, 0.0, size=48).astype(int)
        later = [scenes.render_image(scene, time, size=48) for time in (0.11, 0.31)]
        assert max(np.abs(picture - start).max() for picture in later) > 20


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_distance_functions_never_reach_past_the_surface(kind: str) -> None:
    draw = np.random.default_rng(0)
    here, there = draw.uniform(-1.6, 1.6, size=(2, 3, 200_000)).astype(np.float32)
    there = here + 0.2 * there
    solid = SOLIDS[kind]
    change = np.abs(solid.distance(here) - solid.distance(there))
    assert (change <= 1.002 * np.linalg.norm(here - there, axis=0) + 1e-5).all()
    inside = here[:, solid.distance(here) <= 0]
    assert np.linalg.norm(inside, axis=0).max() <= solid.bound
    assert -solid.foot <= inside[1].min() <= -solid.foot + 0.05


@settings(max_examples=30)
@given(indices, indices)
def test_two_indices_are_two_scenes_and_one_index_is_one(first: int, second: int) -> None:
    assert scene_for(0, first) == scene_for(0, first)
    assert (scene_for(0, first) == scene_for(0, second)) == (first == second)
    assert scene_for(0, first) != scene_for(1, first)


def files_in(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_seed_writes_the_same_bytes_and_another_seed_other_pictures(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        list(scenes.write_world(tmp_path / name, seed=seed, scenes=4, modalities=EVERYTHING_STILL, size=32))
    first, again, other = (files_in(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.endswith((".jpg", ".wav", ".ply", ".txt")))


def test_the_files_of_a_scene_share_a_stem_and_hold_what_the_functions_make(tmp_path: Path) -> None:
    (stem,) = scenes.write_world(tmp_path, seed=0, scenes=1, modalities=EVERYTHING_STILL, size=40)
    scene = scene_for(0, 0)
    assert stem.parent.name == scenes.label(scene)
    suffixes = ("jpg", "txt", "cls", "depth.png", "segmentation.png", "ply", "wav")
    data = {suffix: stem.with_name(f"{stem.name}.{suffix}").read_bytes() for suffix in suffixes}
    assert len(files_in(tmp_path)) == len(suffixes)
    assert data["cls"].decode() == scenes.label(scene)
    assert data["txt"].decode().strip() == scenes.caption(scene)
    assert Image.open(io.BytesIO(data["jpg"])).size == (40, 40)
    depth = np.array(Image.open(io.BytesIO(data["depth.png"])))
    assert depth.dtype == np.uint16
    assert (depth == scenes.depth(scene, size=40)).all()
    ids = np.array(Image.open(io.BytesIO(data["segmentation.png"])))
    assert ids.dtype == np.uint8
    assert (ids == scenes.segmentation(scene, size=40)).all()


def test_ply_and_wav_read_back_what_was_written(tmp_path: Path) -> None:
    (stem,) = scenes.write_world(tmp_path, seed=0, scenes=1, modalities=("points", "audio"), size=32)
    header, _, body = stem.with_suffix(".ply").read_bytes().partition(b"end_header\n")
    assert header.startswith(b"ply\nformat binary_little_endian 1.0\nelement vertex 2048\nproperty float x\n")
    assert (np.frombuffer(body, "<f4").reshape(2048, 6) == scenes.points(scene_for(0, 0))).all()
    with wave.open(str(stem.with_suffix(".wav")), "rb") as sheet:
        assert (sheet.getnchannels(), sheet.getsampwidth(), sheet.getframerate()) == (1, 2, 16000)
        heard = np.frombuffer(sheet.readframes(sheet.getnframes()), "<i2") / 32767
    assert heard == pytest.approx(scenes.sound(scene_for(0, 0)), abs=1 / 32767)


def test_video_has_the_frames_of_the_scene_and_its_sound_in_step(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    (stem,) = scenes.write_world(tmp_path, seed=0, scenes=1, modalities=("video",), size=64)
    scene = scene_for(0, 0)
    with av.open(str(stem.with_suffix(".mp4"))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(stem.with_suffix(".mp4"))) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(frames) == scenes.DURATION_S * scenes.FRAMES_PER_SECOND
    wanted = np.stack(list(scenes.video(scene, size=64))).astype(float)
    assert np.abs(np.stack(frames) - wanted).mean() < 6
    sound = scenes.sound(scene)
    assert np.corrcoef(heard[: len(sound)], sound)[0, 1] > 0.95


def test_video_without_pyav_says_what_to_install_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(scenes.WorldError, match="pip install av"):
        list(scenes.write_world(tmp_path / "new", seed=0, scenes=1, modalities=("image", "video"), size=32))
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(scenes.WorldError, match="not empty"):
        list(scenes.write_world(tmp_path, seed=0, scenes=1, modalities=("text",), size=32))
    assert files_in(tmp_path) == {"mine.txt": b"keep"}


def run_world(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(WORLD), *arguments], capture_output=True, text=True, check=False)


def test_the_command_writes_the_modalities_asked_for(tmp_path: Path) -> None:
    done = run_world(str(tmp_path / "out"), "--scenes", "3", "--modalities", "text,label", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "3/3 scenes" in done.stderr
    assert {Path(name).suffix for name in files_in(tmp_path / "out")} == {".txt", ".cls"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--modalities", "image,sound"), "no modality 'sound'; choose from image, text, label"),
        (("--scenes", "0"), "wants a whole number from 1 on, got '0'"),
        (("--seed", "-1"), "wants a whole number from 0 on, got '-1'"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, str], complaint: str) -> None:
    done = run_world(str(tmp_path / "out"), *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


def test_motions_agree_with_the_protocol() -> None:
    motions: list[Motion] = [scene_for(0, index).main.motion for index in range(30)]
    times = np.linspace(0, scenes.DURATION_S, 50)
    for motion in motions:
        effort = motion.effort(times)
        assert effort.shape == times.shape
        assert ((effort >= 0) & (effort <= 1)).all()
        assert bool(motion.impacts(scenes.DURATION_S)) != bool(effort.any())
