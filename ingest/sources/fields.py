"""Which field of which item a file is, told by its path alone: by extension and well-known names, or by the user's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ingest.items import RAW_KINDS
from shards.errors import SettingsError, did_you_mean
from shards.schema import WELL_KNOWN_NAMES, is_valid_field_name
from shards.tar import split_member_name

LABEL, METADATA = "label", "metadata"
KINDS_OF_FILES = (*RAW_KINDS, LABEL)
"""What a file can be: a field of a raw kind, or the file that holds the label."""

EXTENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("jpg", "jpeg", "jpe", "png", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm"),
        "video": ("mp4", "webm", "mkv", "avi", "mov", "m4v", "3gp", "mpg", "mpeg"),
        "audio": ("wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "aif", "aiff", "amr"),
        "points": ("ply", "off", "obj", "stl", "pcd", "las", "laz", "xyz", "pts", "bin"),
        "text": ("txt", "caption"),
        LABEL: ("cls", "label"),
        METADATA: ("json",),
    }
)
"""Extensions that give a kind away; a field of that kind is called after it unless its name is given."""

_KIND_OF_EXTENSION = {extension: kind for kind, extensions in EXTENSIONS.items() for extension in extensions}
_KIND_OF_NAME = {**WELL_KNOWN_NAMES, "left": "image", "right": "image"} | {
    kind: kind for kind in ("image", "video", "audio", "points")
}
_ARRAY_KINDS = ("raster", "ids", "points")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFile:
    """What the path of a file says.

    Args:
        stem: Names the item: files with the same stem are its fields.
        name: Name of the field.
        kind: One of KINDS_OF_FILES.
    """

    stem: str
    name: str
    kind: str


Naming = Callable[[str], FieldFile | None]
"""Says what the file at a path below the root (with `/`) is, or None for one that is no field."""


def extension_of(path: str) -> str:
    """Return what follows the last dot of a file's name, in small letters; empty without one."""
    base = path.rpartition("/")[2]
    return base.rpartition(".")[2].lower() if "." in base else ""


def kind_of_extension(path: str) -> str | None:
    """Return the kind that the extension of a path or an address gives away, or None."""
    return _KIND_OF_EXTENSION.get(extension_of(path))


def kind_of_name(name: str) -> str | None:
    """Return the kind of the well-known field names (`depth`, `left`, `image_2`), or None for any other."""
    return "image" if name.startswith("image_") else _KIND_OF_NAME.get(name)


def kind_of(name: str, extension: str) -> str | None:
    """Return the kind of the field `name` in a file with this extension, or None where they do not tell.

    A picture called `depth` or `segmentation` holds numbers, and only its name says so; an array says nothing by itself.
    """
    known, found = kind_of_name(name), _KIND_OF_EXTENSION.get(extension)
    if extension == "npy":
        return known if known in _ARRAY_KINDS else None
    return known if found == "image" and known in ("raster", "ids") else found


def by_extension(path: str) -> FieldFile | None:
    """Take the extension for the kind and, in `<stem>.<name>.<extension>`, a well-known name for the field's.

    Any other dot belongs to the stem: `holiday.2019.jpg` is the image of `holiday.2019`.
    """
    folder, slash, base = path.rpartition("/")
    stem, _, extension = base.rpartition(".")
    extension = extension.lower()
    if extension == "bin":
        stem = stem[:-4] if stem.lower().endswith(".pcd") else stem
    shorter, _, name = stem.rpartition(".")
    name = name.lower()
    if shorter and kind_of_name(name) is not None:
        kind = kind_of(name, extension)
        if kind in RAW_KINDS and kind not in ("text", METADATA):
            return FieldFile(stem=f"{folder}{slash}{shorter}", name=name, kind=kind)
    kind = _KIND_OF_EXTENSION.get(extension)
    return None if kind is None or not stem else FieldFile(stem=f"{folder}{slash}{stem}", name=kind, kind=kind)


def by_first_dot(path: str) -> FieldFile | None:
    """Take what follows the first dot of the name for field and extension, as in WebDataset tars: `key.left.jpg`."""
    key, extension = split_member_name(path)
    name, _, ending = extension.rpartition(".")
    if ending == "bin":
        name = name.removesuffix("pcd").removesuffix(".")
    if not name:
        kind = _KIND_OF_EXTENSION.get(ending)
        return None if kind is None else FieldFile(stem=key, name=kind, kind=kind)
    kind = kind_of(name, ending) if is_valid_field_name(name) else None
    if kind is None or kind in (LABEL, METADATA):
        return None
    return FieldFile(stem=key, name=name, kind=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """One rule of the user: files whose path ends like this are this field.

    Args:
        name: Name of the field.
        kind: One of KINDS_OF_FILES.
        suffix: How the path ends; what stands before is the stem. With one `*`, the star is the stem and what stands
            before it is a folder or the beginning of a name: `rgb/*.jpg` and `depth/*.png` meet in one item.
    """

    name: str
    kind: str
    suffix: str

    @property
    def crosses_folders(self) -> bool:
        """Tell whether files of different folders can belong to one item."""
        return "/" in self.suffix

    def stem(self, path: str) -> str | None:
        """Return the stem of a path that follows the rule, or None for any other path."""
        before, star, after = self.suffix.rpartition("*")
        if not star:
            stem = path[: -len(after)] if path.endswith(after) else ""
            return stem if stem and not stem.endswith("/") else None
        found = re.fullmatch(rf"((?:.*?/)?){re.escape(before)}(.+){re.escape(after)}", path, re.DOTALL)
        return None if found is None else found[1] + found[2]


def by_rules(rules: Sequence[FieldRule]) -> Naming:
    """Return the naming that follows the rules alone, the longest suffix first; no other file is a field."""
    ordered = sorted(rules, key=lambda rule: -len(rule.suffix))

    def naming(path: str) -> FieldFile | None:
        for rule in ordered:
            stem = rule.stem(path)
            if stem is not None:
                return FieldFile(stem=stem, name=rule.name, kind=rule.kind)
        return None

    return naming


def parse_field_rule(text: str) -> FieldRule:
    """Read `NAME[:KIND]=SUFFIX`, as in `depth=_depth_mm.png` or `segmentation:ids=_seg.png`.

    Raises:
        SettingsError: It is not of that form, the name cannot name a field, or name and suffix do not give the kind away.
    """
    name, kind, suffix = split_assignment("--field", text, what="SUFFIX", example="depth=_depth_mm.png")
    require_field_name("--field", text, name)
    if suffix.count("*") > 1:
        raise SettingsError(f"--field {text}: a suffix has at most one '*', which stands for the item's name.")
    kind = kind or kind_of(name, extension_of(suffix))
    if kind is None:
        raise SettingsError(
            f"--field {text}: neither the name nor the suffix says what the files hold. Write --field {name}:KIND={suffix}; "
            f"kinds are {', '.join(KINDS_OF_FILES)}."
        )
    if (kind == LABEL) != (name == LABEL) or (kind == METADATA) != (name == METADATA):
        raise SettingsError(f"--field {text}: the field of kind {kind} is called {kind}, and no other is.")
    return FieldRule(name=name, kind=kind, suffix=suffix)


def split_assignment(option: str, text: str, *, what: str, example: str) -> tuple[str, str | None, str]:
    """Split `NAME[:KIND]=VALUE` into its parts.

    Args:
        option: The option that the text was given for, for messages.
        text: What was given.
        what: What the value is called, for messages.
        example: A good example, for messages.

    Raises:
        SettingsError: It has no name or no value, or there is no such kind.
    """
    target, _, value = text.partition("=")
    name, colon, kind = target.partition(":")
    if not name or not value:
        raise SettingsError(f"{option} {text}: write NAME[:KIND]={what}, for example {option} {example}.")
    if colon and kind not in KINDS_OF_FILES:
        raise SettingsError(
            f"{option} {text}: there is no kind '{kind}'; kinds are {', '.join(KINDS_OF_FILES)}."
            f"{did_you_mean(kind, KINDS_OF_FILES)}"
        )
    return name, kind or None, value


def require_field_name(option: str, text: str, name: str) -> None:
    """Check that a name given by the user can name a field.

    Raises:
        SettingsError: It cannot.
    """
    if not is_valid_field_name(name):
        options = (*_KIND_OF_NAME, "text", LABEL, METADATA)
        raise SettingsError(
            f"{option} {text}: '{name}' cannot name a field: use a small letter, then small letters, digits and '_', at most "
            f"32, and no word that the format reserves.{did_you_mean(name, options)}"
        )
