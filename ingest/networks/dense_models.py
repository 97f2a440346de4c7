"""Networks that say something about every pixel: of torchvision, and of transformers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ingest.networks.timm_models import PRETRAINED
from ingest.networks.weights import State, load_strictly, read_state, shortened, state_digest
from pipelines.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from shards.errors import SettingsError, did_you_mean

Maps = Callable[[Tensor], Tensor]
"""From prepared pictures [batch, 3, side, side] to depth [batch, rows, columns] or scores [batch, classes, rows, columns]."""

KINDS = ("torchvision", "transformers")
"""What stands before the name of a model."""

_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")
"""The last convolution of torchvision's models, which has one output for each class."""


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A semantic segmentation of torchvision, with the weights that torchvision has or those in a file."""

    name: str
    weights: str

    @property
    def classes(self) -> int:
        """How many ids there are, background included."""
        if self.weights == PRETRAINED:
            return len(self._published.meta["categories"])
        return _num_classes(self._state(), self.name)

    @property
    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation; all of torchvision's segmentations have ImageNet's."""
        return IMAGENET_MEAN, IMAGENET_STD

    @property
    def digest(self) -> str:
        """Digest of the weights."""
        return state_digest(self._state())

    @property
    def packages(self) -> tuple[str, ...]:
        """Where the network is from."""
        return ("torchvision",)

    def load(self, device: torch.device) -> Maps:
        """Return the function from pictures to scores."""
        from torchvision import models

        self._require_known()
        state = self._state()
        has_second_head = any(name.startswith("aux_classifier.") for name in state)
        options = {} if self.name.startswith("lraspp") else {"aux_loss": has_second_head}
        with torch.random.fork_rng(devices=[]):
            network = models.get_model(
                self.name, weights=None, weights_backbone=None, num_classes=_num_classes(state, self.name), **options
            )
        load_strictly(network, state, what=f"torchvision's '{self.name}'")
        network.eval().requires_grad_(False).to(device)

        def scores(images: Tensor) -> Tensor:
            found: Tensor = network(images)["out"]
            return found

        return scores

    @property
    def _published(self) -> Any:  # noqa: ANN401 - torchvision's weights
        from torchvision import models

        self._require_known()
        return models.get_model_weights(self.name).DEFAULT

    def _require_known(self) -> None:
        from torchvision import models

        known = models.list_models(module=models.segmentation)
        if self.name not in known:
            raise SettingsError(
                f"torchvision has no segmentation '{self.name}'; it has {', '.join(known)}.{did_you_mean(self.name, known)}"
            )

    def _state(self) -> State:
        if self.weights != PRETRAINED:
            return read_state(Path(self.weights))
        try:
            # torchvision's own `get_state_dict` would read the file without weights_only.
            return torch.hub.load_state_dict_from_url(
                self._published.url, map_location="cpu", weights_only=True, check_hash=True
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise SettingsError(
                f"The weights of torchvision's '{self.name}' cannot be downloaded: {shortened(error)} Give weights=FILE."
            ) from error


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """A model of transformers for depth or segmentation, by folder or name: safetensors only, code in it is never run."""

    name: str
    is_depth: bool

    @property
    def classes(self) -> int:
        """How many ids there are."""
        return int(self._config.num_labels)

    @property
    def colours(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation as the model's `preprocessor_config.json` says."""
        with _transformers(self.name) as transformers:
            config, _ = transformers.ImageProcessingMixin.get_image_processor_dict(self.name)
        if not config.get("image_mean") or not config.get("image_std"):
            raise SettingsError(
                f"'{self.name}' does not say what mean and standard deviation it was trained with; give normalisation=imagenet "
                "or normalisation=half."
            )
        return tuple(config["image_mean"]), tuple(config["image_std"])

    @property
    def digest(self) -> str:
        """Digest of the weights as they are used."""
        return state_digest(self._network().state_dict())

    @property
    def packages(self) -> tuple[str, ...]:
        """Where the network is from."""
        return ("transformers",)

    def load(self, device: torch.device) -> Maps:
        """Return the function from pictures to depth or scores."""
        network = self._network().to(device)
        output = "predicted_depth" if self.is_depth else "logits"

        def maps(images: Tensor) -> Tensor:
            found: Tensor = getattr(network(images), output)
            return found

        return maps

    @property
    def _config(self) -> Any:  # noqa: ANN401 - of transformers
        with _transformers(self.name) as transformers:
            config = transformers.AutoConfig.from_pretrained(self.name, trust_remote_code=False)
        if getattr(config, "use_timm_backbone", False):
            raise SettingsError(
                f"'{self.name}' takes its backbone from timm, with weights of its own; it is not supported."
            )
        return config

    def _network(self) -> Any:  # noqa: ANN401 - of transformers
        config = self._config
        with _transformers(self.name) as transformers:
            kind = "AutoModelForDepthEstimation" if self.is_depth else "AutoModelForSemanticSegmentation"
            network, found = getattr(transformers, kind).from_pretrained(
                self.name,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        lacking = [*found["missing_keys"], *found["mismatched_keys"]]
        if lacking:
            raise SettingsError(
                f"The weights of '{self.name}' lack {len(lacking)} of its network, such as '{lacking[0]}'."
            )
        return network.eval().requires_grad_(False)


def _num_classes(state: State, name: str) -> int:
    heads = [state[head].shape[0] for head in _HEADS if head in state]
    if not heads:
        raise SettingsError(
            f"The weights are not those of torchvision's '{name}': there is no {' and no '.join(_HEADS)}."
        )
    return heads[0]


@contextmanager
def _transformers(name: str) -> Iterator[Any]:
    """Give transformers, quietly; what it says about a model that it cannot read is told to the user.

    Raises:
        SettingsError: It is not installed, or cannot read the model.
    """
    try:
        import transformers
    except ImportError as error:
        raise SettingsError(
            "Models of transformers need an extra: pip install 'maskloom[dense]', or --set model=torchvision:..."
        ) from error
    logging: Any = transformers.utils.logging
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield transformers
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise SettingsError(f"transformers cannot read '{name}' safely: {shortened(error)}") from error
    finally:
        if was_enabled:
            logging.enable_progress_bar()
