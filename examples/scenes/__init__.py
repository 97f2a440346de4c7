"""A small world whose scenes agree across image, text, label, depth, segmentation, points, sound and video."""

from .captions import caption
from .files import FRAMES_PER_SECOND, MODALITIES, WorldError, write_world
from .pictures import SEGMENTS, depth, points, render_image, segment_ids, segmentation, video
from .scene import COLOURS, DURATION_S, KINDS, Scene, Thing, label, scene_for
from .sounds import SAMPLE_RATE, sound

__all__ = [
    "COLOURS",
    "DURATION_S",
    "FRAMES_PER_SECOND",
    "KINDS",
    "MODALITIES",
    "SAMPLE_RATE",
    "SEGMENTS",
    "Scene",
    "Thing",
    "WorldError",
    "caption",
    "depth",
    "label",
    "points",
    "render_image",
    "scene_for",
    "segment_ids",
    "segmentation",
    "sound",
    "video",
    "write_world",
]
