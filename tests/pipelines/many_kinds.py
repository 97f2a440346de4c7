"""A small sealed dataset that holds a field of every kind, written without ingest."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import simplejpeg
import soundfile
from PIL import Image

from examples import scenes
from examples.scenes import Scene
from shards.dataset import Dataset
from shards.manifest import Origin, seal
from shards.sample import Provenance, Sample
from shards.schema import RejectReason
from shards.shard_writer import Member, ShardWriter, raw_sha256

FIELDS = {
    "image": "image",
    "video": "frames",
    "mp4": "clip",
    "audio": "audio",
    "logmel": "logmel",
    "points": "points",
    "bands": "raster",
    "depth": "raster",
    "segmentation": "ids",
    "text": "text",
    "label": "label",
    "metadata": "metadata",
}
CLASSES = scenes.KINDS
NUM_FRAMES = 8
FRAMES_PER_SECOND = NUM_FRAMES / scenes.DURATION_S
REJECT = ("broken.jpg", RejectReason.CORRUPT_IMAGE, "cut off after 120 bytes")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A field of a sample: its members, their ending, and its facts by bare names; `""` is the field's own column."""

    data: bytes | tuple[bytes, ...]
    extension: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_many_kinds(
    root: Path,
    *,
    samples: int = 8,
    size: int = 48,
    change: Callable[[dict[str, Stored]], None] = lambda stored: None,
    fields: Mapping[str, str] = FIELDS,
    suffix: str = "",
) -> Dataset:
    """Write scenes 0 .. samples - 1 as a dataset with the splits train and val and one reject.

    Sample 1 has nothing but its caption; all others have every field. Scenes 2k and 2k + 1 are one group.

    Args:
        root: Folder to write into.
        samples: How many samples, at least 4; a quarter of them is in the split val.
        size: Side of the pictures, even.
        change: Is given the fields of every sample and may change them.
        fields: Fields that the dataset declares, with their kinds.
        suffix: Ends the sources, licences, groups, class names, the detail of the reject and the name of the source.
    """
    first_of_val = samples - samples // 4
    for shard, (split, numbers) in enumerate(
        (("train", range(first_of_val)), ("val", range(first_of_val, samples))),
    ):
        with ShardWriter(root, shard=shard, plan_id="plan", fields=fields, split=split) as writer:
            for number in numbers:
                scene = scenes.scene_for(0, number)
                stored = everything(scene, size) if number != 1 else {"text": text(["Only words."])}
                change(stored)
                provenance = Provenance(
                    source=f"{number:04d}.scene{suffix}",
                    licence=f"CC0-1.0{suffix}",
                    group=f"pair-{number // 2}{suffix}",
                    place=number % 2,
                )
                add(writer, f"scene-{number:04d}", stored, provenance)
            if split == "train":
                source, reason, detail = REJECT
                writer.reject("broken", source=source + suffix, reason=reason, detail=detail + suffix)
            writer.commit()
    origin = Origin(
        plan_id="plan",
        source=f"scenes of a small world{suffix}",
        settings={"image_size": None, "video": {"frames": NUM_FRAMES, "note": suffix}},
        software={"maskloom": "0.1.0"},
        fields=fields,
        classes=tuple(f"{name}{suffix}" for name in CLASSES),
        num_items=samples + 1,
        num_shards=2,
        ignored={f".md{suffix}": 2},
    )
    seal(root, origin)
    return Dataset.open(root)


def add(writer: ShardWriter, key: str, stored: Mapping[str, Stored], provenance: Provenance) -> None:
    """Append a sample of the given fields."""
    facts = {
        f"{name}.{fact}" if fact else name: value for name, item in stored.items() for fact, value in item.facts.items()
    }
    members = {
        name: Member(
            extension=item.extension,
            sha256=raw_sha256(item.data if isinstance(item.data, bytes) else b"".join(item.data)),
        )
        for name, item in stored.items()
    }
    payloads = {name: item.data for name, item in stored.items() if isinstance(item.data, bytes)}
    frames = {name: item.data for name, item in stored.items() if isinstance(item.data, tuple)}
    writer.add(Sample(key, payloads, facts, frames), members, provenance)


def everything(scene: Scene, size: int) -> dict[str, Stored]:
    """Return a scene as a field of every kind."""
    times = [number / FRAMES_PER_SECOND for number in range(NUM_FRAMES)]
    pictures = [np.ascontiguousarray(scenes.render_image(scene, time, size=size)) for time in times]
    sound = scenes.sound(scene)
    heights = scenes.depth(scene, size=size)
    return {
        "image": image(pictures[0]),
        "video": frames(pictures),
        "mp4": clip(pictures),
        "audio": audio(sound),
        "logmel": logmel(np.abs(np.fft.rfft(sound[: 160 * 190].reshape(190, 160)))[:, :64]),
        "points": points(scenes.points(scene, count=512)),
        "bands": raster(np.stack([heights * 0.001 + band for band in range(5)], axis=-1).astype("<f4")),
        "depth": raster(heights),
        "segmentation": raster(scenes.segmentation(scene, size=size)),
        "text": text([scenes.caption(scene), f"A scene with {len(scene.things)} things."]),
        "label": label(CLASSES.index(scenes.label(scene))),
        "metadata": metadata({"things": len(scene.things), "camera": {"size": size}}),
    }


def _sizes(pixels: npt.NDArray[Any]) -> dict[str, Any]:
    return {"width": pixels.shape[1], "height": pixels.shape[0]}


def image(pixels: npt.NDArray[np.uint8]) -> Stored:
    facts = {"format": "jpeg", "phash": 7, "contrast": float(pixels.std())}
    return Stored(data=simplejpeg.encode_jpeg(pixels, quality=90), extension="jpg", facts=_sizes(pixels) | facts)


def _clip_facts(pictures: Sequence[npt.NDArray[np.uint8]]) -> dict[str, Any]:
    times = [number / FRAMES_PER_SECOND for number in range(len(pictures))]
    told = {
        "count": len(pictures),
        "start": 0.0,
        "seconds": scenes.DURATION_S,
        "fps": FRAMES_PER_SECOND,
        "times": times,
    }
    return _sizes(pictures[0]) | {"phash": 7, "contrast": float(pictures[0].std())} | told


def frames(pictures: Sequence[npt.NDArray[np.uint8]]) -> Stored:
    data = tuple(simplejpeg.encode_jpeg(pixels, quality=85) for pixels in pictures)
    return Stored(data=data, extension="jpg", facts=_clip_facts(pictures))


def clip(pictures: Sequence[npt.NDArray[np.uint8]]) -> Stored:
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAMES_PER_SECOND), options={"threads": "1"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return Stored(data=data.getvalue(), extension="mp4", facts=_clip_facts(pictures))


def audio(samples: npt.NDArray[np.floating[Any]]) -> Stored:
    data = io.BytesIO()
    soundfile.write(data, np.rint(samples * 32767).astype(np.int16), scenes.SAMPLE_RATE, format="FLAC")
    facts = {
        "rate": scenes.SAMPLE_RATE,
        "samples": len(samples),
        "seconds": len(samples) / scenes.SAMPLE_RATE,
        "start": 0.0,
        "peak_db": float(20 * np.log10(np.abs(samples).max() + 1e-6)),
        "rms_db": float(10 * np.log10(np.square(samples).mean() + 1e-9)),
        "source_rate": 44100,
        "source_channels": 2,
    }
    return Stored(data=data.getvalue(), extension="flac", facts=facts)


def logmel(power: npt.NDArray[np.floating[Any]]) -> Stored:
    features = np.log(power + 1e-6).astype("<f2")
    facts = {"frames": features.shape[0], "bins": features.shape[1]}
    return Stored(data=_npy(features), extension="logmel.npy", facts=facts)


def points(cloud: npt.NDArray[np.float32]) -> Stored:
    bounds = [float(value) for value in (*cloud[:, :3].min(axis=0), *cloud[:, :3].max(axis=0))]
    told = {"count": len(cloud), "dropped": 1, "bounds": bounds, "source_format": "ply"}
    columns = {"columns": "x,y,z,red,green,blue"}
    return Stored(data=_npy(cloud.astype("<f4")), extension="points.npy", facts=told | columns)


def raster(values: npt.NDArray[Any]) -> Stored:
    facts = _sizes(values) | {"channels": values.shape[2] if values.ndim == 3 else 1, "dtype": str(values.dtype)}
    if values.ndim == 3:
        return Stored(data=_npy(values), extension="npy", facts=facts)
    data = io.BytesIO()
    Image.fromarray(values).save(data, format="PNG")
    return Stored(data=data.getvalue(), extension="png", facts=facts)


def text(captions: Sequence[str]) -> Stored:
    joined = "\n".join(captions)
    facts = {"characters": len(joined), "captions": len(captions), "longest": max(map(len, captions))}
    return Stored(data=joined.encode(), extension="txt", facts=facts)


def label(number: int) -> Stored:
    return Stored(data=str(number).encode(), extension="cls", facts={"": number})


def metadata(record: Mapping[str, Any]) -> Stored:
    return Stored(data=json.dumps(record).encode(), extension="json")


def _npy(values: npt.NDArray[Any]) -> bytes:
    data = io.BytesIO()
    np.save(data, np.ascontiguousarray(values), allow_pickle=False)
    return data.getvalue()
