"""Vision transformers of timm, by name: what they look like without their weights, and built with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ingest.networks.weights import State, header_of, shortened
from shards.errors import SettingsError, did_you_mean

PRETRAINED = "pretrained"
"""Stands for the weights that timm has under a name."""

Argument = int | float | bool | str | None

_HEADER = "timm"
_ARGUMENTS = frozenset(
    {
        "class_token",
        "depth",
        "embed_dim",
        "fc_norm",
        "final_norm",
        "global_pool",
        "img_size",
        "init_values",
        "mlp_ratio",
        "no_embed_class",
        "num_heads",
        "num_reg_tokens",
        "patch_size",
        "pre_norm",
        "proj_bias",
        "qk_norm",
        "qkv_bias",
        "qkv_fused",
        "reg_tokens",
        "rope_temperature",
        "rope_type",
        "scale_attn_inner",
        "scale_mlp",
        "swiglu_mlp",
        "use_abs_pos_emb",
        "use_fc_norm",
        "use_post_norm",
        "use_rot_pos_emb",
    }
)
"""What the header of a file may say about a network: sizes and switches, nothing that names a file or code."""

_WHERE_ELSE = "Give weights=FILE, a .safetensors or .pth file in the layout of timm."


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A vision transformer of timm: its name, with or without a tag, and what is otherwise than the name says."""

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VitFacts:
    """What is known of a vision transformer without its weights.

    Args:
        width: Values of a token.
        depth: Number of layers.
        patch: Side of a patch in pixels.
        native: Side of the pictures that it was made for.
        has_class: Whether there is a class token.
        registers: How many tokens there are besides class and patches.
        mean: Of red, green and blue in [0, 1], as it was trained with.
        deviation: Likewise.
    """

    width: int
    depth: int
    patch: int
    native: int
    has_class: bool
    registers: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def architecture_of(name: str, weights: str, *, default: str) -> Architecture:
    """Return the architecture that `name` and the header of the file `weights` say; the header alone if `name` is empty.

    A file may say in its safetensors header, under "timm", what timm writes into its `config.json`: `architecture`,
    `model_args` and `pretrained_cfg` with `mean` and `std`.

    Raises:
        SettingsError: They contradict each other, or the header says what a header must not.
    """
    written = "" if weights == PRETRAINED else header_of(Path(weights)).get(_HEADER, "")
    if not written:
        return Architecture(name=name or default)
    header = _parsed(written, weights)
    architecture = str(header["architecture"])
    if name and name.partition(".")[0] != architecture.partition(".")[0]:
        raise SettingsError(f"{weights} holds a '{architecture}', but model={name} was asked for; leave model out.")
    arguments = {**header.get("model_args", {})}
    colours = header.get("pretrained_cfg", {})
    return Architecture(
        name=name or architecture,
        arguments=tuple(sorted(arguments.items())),
        mean=tuple(colours.get("mean", ())),
        deviation=tuple(colours.get("std", ())),
    )


@lru_cache(maxsize=16)
def vit_facts(architecture: Architecture) -> VitFacts:
    """Return what is known of an architecture without its weights; nothing is allocated.

    Raises:
        SettingsError: timm has no such model, or it is not a plain vision transformer.
    """
    with torch.device("meta"):
        network = _created(architecture, num_classes=0)
    has_class = network.cls_token is not None
    return VitFacts(
        width=network.embed_dim,
        depth=len(network.blocks),
        patch=network.patch_embed.patch_size[0],
        native=network.patch_embed.img_size[0],
        has_class=has_class,
        registers=network.num_prefix_tokens - has_class,
        mean=tuple(architecture.mean or network.pretrained_cfg["mean"]),
        deviation=tuple(architecture.deviation or network.pretrained_cfg["std"]),
    )


def initialised_vit(architecture: Architecture, *, side: int) -> Any:  # noqa: ANN401 - a class of timm
    """Return a network for pictures of `side` pixels with the weights that timm begins training with; they are random.

    The state of torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        return _created(architecture, num_classes=0, img_size=side)


def trained_vit(architecture: Architecture, state: State, *, side: int) -> Any:  # noqa: ANN401 - a class of timm
    """Return a network for pictures of `side` pixels with the weights `state`, in any layout that timm converts.

    timm interpolates position embeddings that were trained at another size.

    Raises:
        SettingsError: The weights are not those of the architecture.
    """
    given = {name: value for name, value in state.items() if not name.startswith("decoder_")}
    classes = _num_classes(given, architecture)
    # timm compares names strictly only where the number of classes is that of its own weights.
    overlay = {"state_dict": given, "num_classes": classes, "label_offset": 0}
    try:
        with torch.random.fork_rng(devices=[]):
            return _created(
                architecture, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes, img_size=side
            )
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        raise SettingsError(f"The weights are not those of '{architecture.name}': {shortened(error)}") from error


def downloaded_state(name: str) -> State:
    """Return the weights that timm has under a name, from the Hugging Face hub or its cache here.

    Raises:
        SettingsError: timm has none, or they cannot be had.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise SettingsError(f"timm has no weights for '{name}'. {_WHERE_ELSE}")
    try:
        if config.hf_hub_id:
            file = {"filename": config.hf_hub_filename} if config.hf_hub_filename else {}
            state: State = timm.models.load_state_dict_from_hf(config.hf_hub_id, weights_only=True, **file)
            return state
        return torch.hub.load_state_dict_from_url(str(config.url), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"The weights of '{name}' cannot be downloaded: {shortened(error)} {_WHERE_ELSE}"
        ) from error


def _created(architecture: Architecture, **options: Any) -> Any:  # noqa: ANN401 - what timm takes and makes
    import timm
    from timm.models.beit import Beit
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    _require_known(architecture.name)
    try:
        network = timm.create_model(architecture.name, **{**dict(architecture.arguments), **options})
    except TypeError as error:
        raise SettingsError(
            f"'{architecture.name}' of timm cannot be made as a vision transformer: {error}."
        ) from error
    if not isinstance(network, VisionTransformer | Eva | Beit):
        raise SettingsError(
            f"'{architecture.name}' of timm is a {type(network).__name__}, which has no plain grid of tokens; teachers are "
            "its VisionTransformer, Eva and Beit models (ViT, DeiT, DINO, DINOv2, DINOv3, MAE, SigLIP, EVA, BEiT)."
        )
    network.requires_grad_(False)
    return network.eval()


def _require_known(name: str) -> None:
    """Raise SettingsError unless timm knows a model, and its tag."""
    import timm

    known = timm.is_model(name) if all(character not in name for character in "/\\:") else False
    base, dot, tag = name.partition(".")
    tags = timm.models.get_arch_pretrained_cfgs(base) if known and dot else {}
    if not known:
        options = [*timm.list_models(), *timm.list_pretrained()]
        raise SettingsError(f"timm has no model '{name}'.{did_you_mean(name, options)}")
    if dot and name not in tags:
        options = [option for option in tags if "." in option]
        raise SettingsError(f"timm has no weights '{tag}' of '{base}'.{did_you_mean(name, options)}")


def _num_classes(state: State, architecture: Architecture) -> int:
    """Return how many outputs the head has that comes with the weights; 0 without one."""
    import timm

    config = timm.get_pretrained_cfg(architecture.name)
    named = (config.classifier if config is not None else None) or "head"
    heads = [state.get(f"{head}.weight") for head in ((named,) if isinstance(named, str) else named)]
    if heads[0] is not None:
        return heads[0].shape[0]
    projection = state.get("visual.proj")  # of CLIP, which timm turns into a head
    return 0 if projection is None else projection.shape[1]


def _parsed(written: str, weights: str) -> Mapping[str, Any]:
    try:
        header = json.loads(written)
        arguments, colours = header.get("model_args", {}), header.get("pretrained_cfg", {})
        sound = (
            isinstance(header["architecture"], str)
            and all(isinstance(value, Argument) for value in arguments.values())
            and all(
                isinstance(number, float | int) for name in ("mean", "std") for number in colours.get(name, (0, 0, 0))
            )
        )
    except (ValueError, KeyError, AttributeError, TypeError):
        sound = False
    if not sound:
        raise SettingsError(
            f"The header of {weights} does not say what its network is: 'timm' has to be JSON with an architecture, and "
            f"plain model_args and pretrained_cfg; found {written[:200]!r}."
        )
    foreign = [name for name in arguments if name not in _ARGUMENTS]
    if foreign:
        raise SettingsError(
            f"The header of {weights} sets '{foreign[0]}' of its network, which files may not; they may set "
            f"{', '.join(sorted(_ARGUMENTS))}."
        )
    checked: Mapping[str, Any] = header
    return checked
