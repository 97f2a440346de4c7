"""What a page shows of one stored field: pictures, films, sounds, clouds and words, one kind of panel for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.inspect import wording
from pipelines.inspect.allowance import Allowance
from pipelines.inspect.clouds import pack_cloud
from pipelines.inspect.pictures import Picture, embed, embed_exactly, nearest, smaller
from pipelines.inspect.rasters import (
    LONGEST,
    MAX_BANDS,
    MAX_IDS,
    Shown,
    show_band,
    show_composite,
    show_ids,
    show_logmel,
)
from pipelines.transforms.frames import read_clip
from pipelines.transforms.image import decode_image
from pipelines.transforms.points import decode_points
from pipelines.transforms.raster import decode_raster
from pipelines.transforms.sound import decode_logmel, decode_sound
from shards.errors import MaskloomError

MAX_FRAMES = 12
"""Frames of a clip that are shown, evenly spread over it."""
MAX_DECODED = 1500
"""Frames at the beginning of an mp4 clip that the shown ones are taken from: to reach one, all before it are decoded."""
MAX_PLAYED_BYTES = 1_000_000
"""Largest stored sound or clip that is embedded to be played."""
MAX_CHARACTERS = 4000
"""Characters of captions or metadata that are shown."""

_MOST_WORDS = 300
"""Characters of an error that nobody foresaw."""
_IMAGE_LONGEST, _FRAME_LONGEST = 336, 224
_FOR_PICTURES = 64_000
"""Bytes of a sample's allowance that sounds and clips to be played must leave for what can be seen."""
_WAVE_STEPS, _WAVE_HEIGHT = 300, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A field of a sample as it is stored.

    Args:
        key: Key of the sample.
        name: Name of the field.
        data: The member; empty for a sequence.
        frames: The members of a sequence.
        facts: What the index knows of it, by bare names.
    """

    key: str
    name: str
    data: bytes
    frames: tuple[bytes, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What the template `panels/<shape>.html` needs to show a field."""

    shape: str
    content: Mapping[str, Any]


MakePanel = Callable[[Held, Allowance], Panel]


def note(words: str) -> Panel:
    """Return a panel of words that stand where the content cannot."""
    return Panel(shape="note", content={"words": words})


def panel_or_note(make: Callable[[], Panel]) -> Panel:
    """Return what `make` makes, or words about why it cannot."""
    try:
        return make()
    except MaskloomError as error:
        return note(f"Damaged: {error}")
    except Exception as error:
        # An adopted dataset may hold what no decoder foresees: the card says so, and the page goes on.
        return note(f"Cannot be shown: {type(error).__name__}: {wording.clipped(str(error), _MOST_WORDS)}")


def _image(held: Held, allowance: Allowance) -> Panel:
    pixels = smaller(decode_image(held.data), longest=_IMAGE_LONGEST)
    return _picture_panel(embed(pixels, f"{held.name} of {held.key}", allowance))


def _picture_panel(picture: Picture, **more: Any) -> Panel:  # noqa: ANN401 - what the template shows below the picture
    return Panel(shape="picture", content={"picture": picture, "shown": None, "identities": [], "more_ids": 0} | more)


def _frames(held: Held, allowance: Allowance) -> Panel:
    places = spread(len(held.frames), MAX_FRAMES)
    pictures = [decode_image(held.frames[place]) for place in places]
    return _clip_panel(held, dict(zip(places, pictures, strict=True)), allowance, video=None)


def _clip(held: Held, allowance: Allowance) -> Panel:
    places = spread(min(max(1, held.facts["count"]), MAX_DECODED), MAX_FRAMES)
    pictures = read_clip(held.data, places)
    is_short = len(held.data) <= MAX_PLAYED_BYTES
    video = allowance.data_uri("video/mp4", held.data, leaving=_FOR_PICTURES) if is_short else None
    return _clip_panel(held, dict(zip(places, pictures, strict=True)), allowance, video=video)


def _clip_panel(
    held: Held, frames: Mapping[int, npt.NDArray[np.uint8]], allowance: Allowance, *, video: str | None
) -> Panel:
    """Return the panel of a clip, of which the frames with the given numbers are shown."""
    told = held.facts.get("times") or []
    times = {place: float(told[place]) for place in frames if place < len(told)}
    captions = {place: wording.seconds(times[place]) if place in times else f"frame {place}" for place in frames}
    pictures = [
        (captions[place], embed(smaller(pixels, longest=_FRAME_LONGEST), f"frame {place} of {held.name}", allowance))
        for place, pixels in frames.items()
    ]
    count = max(len(frames), held.facts["count"])
    summary = f"{len(frames)} of {count:,} frames" if len(frames) < count else ""
    left_out = wording.size(len(held.data)) if held.data and video is None else ""
    more = {"video": video, "left_out": left_out, "times": list(times.values()), "is_moving": True}
    return Panel(shape="film", content=_film(held, pictures, summary) | more)


def _film(held: Held, pictures: Sequence[tuple[str, Picture]], summary: str) -> dict[str, Any]:
    """Return what the template of a film needs: pictures with their captions, one of which is shown large at a time."""
    return {
        "name": held.name,
        "pictures": pictures,
        "summary": summary,
        "start": held.facts.get("start") or 0.0,
        "video": None,
        "left_out": "",
        "times": [],
        "is_moving": False,
    }


def _sound(held: Held, allowance: Allowance) -> Panel:
    sound = decode_sound(held.data)
    is_short = len(held.data) <= MAX_PLAYED_BYTES
    content = {
        "wave": wave_path(sound.samples),
        "steps": _WAVE_STEPS,
        "height": 2 * _WAVE_HEIGHT,
        "seconds": len(sound.samples) / sound.rate,
        "length": wording.seconds(len(sound.samples) / sound.rate),
        "start": held.facts.get("start") or 0.0,
        "audio": allowance.data_uri("audio/flac", held.data, leaving=_FOR_PICTURES) if is_short else None,
        "left_out": wording.size(len(held.data)),
        "name": held.name,
    }
    return Panel(shape="sound", content=content)


def wave_path(samples: npt.NDArray[np.float32]) -> str:
    """Return the outline of a waveform as an SVG path: at each of 300 steps from the least to the largest sample.

    Full scale fills the height of 64; the middle is at 32.
    """
    if not len(samples):
        return f"M0 {_WAVE_HEIGHT}H{_WAVE_STEPS}"
    starts = np.arange(_WAVE_STEPS) * len(samples) // _WAVE_STEPS
    lowest, highest = (np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts))
    upper = _WAVE_HEIGHT - highest * (_WAVE_HEIGHT - 1) - 0.4
    lower = _WAVE_HEIGHT - lowest * (_WAVE_HEIGHT - 1) + 0.4
    there = [f"{step} {height:.1f}" for step, height in enumerate(upper.tolist())]
    back = [f"{step} {height:.1f}" for step, height in enumerate(lower.tolist())][::-1]
    return f"M{'L'.join(there + back)}Z"


def _logmel(held: Held, allowance: Allowance) -> Panel:
    features = decode_logmel(held.data)
    picture = embed(show_logmel(features), f"{held.name} of {held.key}", allowance)
    return Panel(shape="logmel", content={"picture": picture, "bins": features.shape[1], "frames": features.shape[0]})


def _points(held: Held, allowance: Allowance) -> Panel:
    points = decode_points(held.data)
    cloud = pack_cloud(points, (held.facts["columns"] or "x,y,z").split(","), key=held.key)
    content = {
        "data": allowance.base64(cloud.data),
        "count": cloud.count,
        "of": len(points),
        "colourings": cloud.colourings,
        "name": held.name,
    }
    return Panel(shape="cloud", content=content)


def _raster(held: Held, allowance: Allowance) -> Panel:
    values = decode_raster(held.data)
    num_bands = values.shape[2]
    if num_bands == 1:
        shown = show_band(values[:, :, 0], field=held.name)
        return _picture_panel(_band_picture(shown.pixels, f"{held.name} of {held.key}", allowance), shown=shown)
    values = nearest(values, longest=2 * LONGEST)
    pictures = []
    if num_bands >= 3:
        composite = show_composite(values[:, :, :3])
        pictures.append(("bands 1 to 3", _band_picture(composite, f"bands 1 to 3 of {held.name}", allowance)))
    for band in range(min(num_bands, MAX_BANDS)):
        shown = show_band(values[:, :, band], field=held.name)
        picture = _band_picture(shown.pixels, f"band {band + 1} of {held.name}", allowance)
        pictures.append((f"band {band + 1}: {_range(shown)}", picture))
    summary = f"{MAX_BANDS} of {num_bands} bands" if num_bands > MAX_BANDS else ""
    return Panel(shape="film", content=_film(held, pictures, summary))


def _band_picture(pixels: npt.NDArray[np.uint8], description: str, allowance: Allowance) -> Picture:
    return embed(nearest(pixels, longest=LONGEST).astype(np.uint8), description, allowance)


def _range(shown: Shown) -> str:
    return f"{wording.number(shown.least)} to {wording.number(shown.most)}"


def _ids(held: Held, allowance: Allowance) -> Panel:
    values = decode_raster(held.data)
    pixels, identities = show_ids(values[:, :, 0])
    picture = embed_exactly(nearest(pixels, longest=LONGEST).astype(np.uint8), f"{held.name} of {held.key}", allowance)
    return _picture_panel(picture, identities=identities[:MAX_IDS], more_ids=max(0, len(identities) - MAX_IDS))


def _text(held: Held, allowance: Allowance) -> Panel:
    shown, hidden = wording.cut(held.data.decode(), MAX_CHARACTERS)
    return Panel(shape="captions", content={"captions": shown.split("\n"), "hidden": hidden})


def _metadata(held: Held, allowance: Allowance) -> Panel:
    record = json.dumps(json.loads(held.data), indent=2, ensure_ascii=False)
    shown, hidden = wording.cut(record, MAX_CHARACTERS)
    return Panel(shape="metadata", content={"record": shown, "hidden": hidden, "name": held.name})


def spread(count: int, most: int) -> list[int]:
    """Return up to `most` of the numbers 0 .. count - 1, evenly spread."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()]


PANELS: Mapping[str, MakePanel] = {
    "image": _image,
    "frames": _frames,
    "clip": _clip,
    "audio": _sound,
    "logmel": _logmel,
    "points": _points,
    "raster": _raster,
    "ids": _ids,
    "text": _text,
    "metadata": _metadata,
}
"""How a field of each kind is shown; a label stands in the head of the card."""
