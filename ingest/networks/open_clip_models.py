"""The two towers of open_clip's models, each built alone with weights that were read without executing anything.

open_clip 3.3 itself reads `.pt` and `.bin` files with `weights_only=True`, but where that raises a TypeError it reads again
without, and it can be handed TorchScript. So files are read here (`ingest.networks.weights`), and open_clip is left what it
does well: architectures, tags, downloads, conversions and the interpolation of positions.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ingest.networks.weights import TORCH_SUFFIXES, State, load_strictly, shortened
from shards.errors import SettingsError, did_you_mean

CLIP_VOCABULARY = 49408

_SMALLEST_TEXT = {"context_length": 4, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
_SMALLEST_VISION = {"image_size": 16, "patch_size": 16, "width": 64, "layers": 1}
"""Stand in for the tower that is not asked for."""


@dataclass(frozen=True, kw_only=True)
class ClipModel:
    """A model of open_clip without its weights.

    Args:
        name: What it was asked for by.
        config: Its architecture, as open_clip writes it down: `embed_dim`, `vision_cfg`, `text_cfg` and switches.
        vision: `vision_cfg` with open_clip's defaults.
        text: `text_cfg` with open_clip's defaults.
        mean: Of red, green and blue in [0, 1], as it was trained with.
        deviation: Likewise.
    """

    name: str
    config: Mapping[str, Any] = field(repr=False)
    vision: Any = field(repr=False)
    text: Any = field(repr=False)
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def embed_dim(self) -> int:
        """Values of pooled features, of pictures and of texts."""
        return int(self.config["embed_dim"])

    @property
    def native(self) -> int:
        """Side of the pictures that it was made for.

        Raises:
            SettingsError: They were no squares.
        """
        sides = self.vision.image_size if isinstance(self.vision.image_size, list | tuple) else [self.vision.image_size]
        if len(set(sides)) > 1:
            raise SettingsError(
                f"'{self.name}' of open_clip was made for pictures of {sides} pixels; views are squares."
            )
        return int(sides[0])

    @property
    def is_plain_vit(self) -> bool:
        """Whether pictures go through open_clip's own vision transformer, with a class token and a pooled last layer."""
        layers, pool = self.vision.layers, self.vision.attentional_pool
        return not self.vision.timm_model_name and not isinstance(layers, list | tuple) and not pool


@lru_cache(maxsize=8)
def clip_model(name: str, pretrained: str) -> ClipModel:
    """Return the model that open_clip has under a name, or that an `open_clip_config.json` describes.

    Where `pretrained` is a tag, its mean, deviation and kind of GELU are taken; open_clip only warns about the last.

    Raises:
        SettingsError: There is no such model or tag, or it is of a kind that is no teacher.
    """
    import open_clip

    written = _written_config(Path(name)) if name.endswith(".json") else {"model_cfg": _named_config(name)}
    config, colours = written["model_cfg"], written.get("preprocess_cfg", {})
    if not is_file(pretrained):
        tag = _tag(name, pretrained)
        config["quick_gelu"] = bool(tag.get("quick_gelu", False) or config.get("quick_gelu", False))
        colours = {**tag, **colours}
    if "multimodal_cfg" in config:
        raise SettingsError(f"'{name}' of open_clip captions pictures (CoCa); choose a model with two towers only.")
    try:
        vision, text = open_clip.CLIPVisionCfg(**config["vision_cfg"]), open_clip.CLIPTextCfg(**config["text_cfg"])
    except (TypeError, KeyError) as error:
        raise SettingsError(f"'{name}' does not describe a model of open_clip: {error}.") from error
    return ClipModel(
        name=name,
        config=config,
        vision=vision,
        text=text,
        mean=tuple(colours.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        deviation=tuple(colours.get("std") or open_clip.OPENAI_DATASET_STD),
    )


def is_file(pretrained: str) -> bool:
    """Tell whether weights are given by a path, and not by a tag of open_clip."""
    return "/" in pretrained or pretrained.endswith((".safetensors", *TORCH_SUFFIXES)) or Path(pretrained).is_file()


def weights_file(name: str, pretrained: str) -> Path:
    """Return the file of the weights, downloaded if `pretrained` is a tag and they are not here yet.

    Raises:
        SettingsError: There is no such tag, or they cannot be had.
    """
    if is_file(pretrained):
        return Path(pretrained)
    from open_clip import download_pretrained

    try:
        return Path(download_pretrained(dict(_tag(name, pretrained))))
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"The weights '{pretrained}' of '{name}' cannot be downloaded: {shortened(error)} Give pretrained=FILE, a "
            ".safetensors or .pt file of open_clip."
        ) from error


def image_tower(model: ClipModel, state: State, *, side: int) -> Any:  # noqa: ANN401 - a class of open_clip
    """Return the tower of pictures, for those of `side` pixels; positions are interpolated as open_clip does.

    Raises:
        SettingsError: The weights are not those of the model.
    """
    from open_clip.convert import convert_state_dict
    from open_clip.model import resize_pos_embed

    config = deepcopy({**model.config, "text_cfg": _SMALLEST_TEXT})
    config["vision_cfg"]["timm_model_pretrained"] = False
    plain = not model.vision.timm_model_name
    if plain:
        config["vision_cfg"]["image_size"] = side
    network = _built(config, model.name)
    given = dict(convert_state_dict(network, dict(state)))
    resize_pos_embed(given, network)
    seen = {name.removeprefix("visual."): value for name, value in given.items() if name.startswith("visual.")}
    load_strictly(network.visual, seen, what=f"the tower of pictures of '{model.name}'")
    if not plain and side != model.native:
        network.visual.set_input_size(side)
    return network.visual


def text_tower(model: ClipModel, state: State) -> Any:  # noqa: ANN401 - a class of open_clip
    """Return the tower of texts.

    Raises:
        SettingsError: The weights are not those of the model.
    """
    from open_clip.model import convert_to_custom_text_state_dict

    network = _built({**model.config, "custom_text": True, "vision_cfg": _SMALLEST_VISION}, model.name)
    given = state if any(name.startswith("text.") for name in state) else convert_to_custom_text_state_dict(dict(state))
    read = {name.removeprefix("text."): value for name, value in given.items() if name.startswith("text.")}
    load_strictly(network.text, read, what=f"the tower of texts of '{model.name}'")
    return network.text


def require_clip_tokens(model: ClipModel) -> None:
    """Raise SettingsError unless texts become ids as CLIP's do."""
    import open_clip

    config = model.config["text_cfg"]
    other = config.get("hf_model_name") or config.get("hf_tokenizer_name")
    if other or config.get("tokenizer_kwargs") or model.text.vocab_size != CLIP_VOCABULARY:
        fitting = [name for name in open_clip.list_models() if name.startswith("ViT-") and "SigLIP" not in name]
        raise SettingsError(
            f"Texts of '{model.name}' are not split as CLIP splits them, but by '{other or 'a tokenizer of its own'}', which "
            f"is not supported; among those that are: {', '.join(fitting[:6])}."
        )


def _built(config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a class of open_clip
    import open_clip

    arguments = dict(config)
    kind = open_clip.CustomTextCLIP if arguments.pop("custom_text", False) else open_clip.CLIP
    try:
        with torch.random.fork_rng(devices=[]):
            network = kind(**arguments)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise SettingsError(f"'{name}' of open_clip cannot be built: {shortened(error)}") from error
    network.requires_grad_(False)
    return network.eval()


def _named_config(name: str) -> dict[str, Any]:
    import open_clip

    known = open_clip.list_models()
    if name not in known:
        raise SettingsError(
            f"open_clip has no model '{name}'.{did_you_mean(name, known)} A model of your own is given by the path of its "
            "open_clip_config.json."
        )
    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


def _written_config(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(path.read_bytes())
        config = written.get("model_cfg", written)
        colours = written.get("preprocess_cfg", {})
        if all(isinstance(config[part], dict) for part in ("vision_cfg", "text_cfg")) and config["embed_dim"] > 0:
            return {"model_cfg": config, "preprocess_cfg": colours}
    except OSError as error:
        raise SettingsError(f"There is no configuration '{path}': {error.strerror}.") from error
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    raise SettingsError(
        f"{path} does not describe a model of open_clip: embed_dim, vision_cfg and text_cfg are needed."
    )


def _tag(name: str, pretrained: str) -> Mapping[str, Any]:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained not in tags:
        raise SettingsError(
            f"open_clip has no weights '{pretrained}' of '{name}'; it has {', '.join(tags) or 'none'}."
            f"{did_you_mean(pretrained, tags)} A file is given by its path."
        )
    tag: Mapping[str, Any] = open_clip.get_pretrained_cfg(name, pretrained)
    return tag
