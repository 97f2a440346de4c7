"""Ids of a trained VQ tokenizer: of pictures, sound, maps, points, or of the features that another teacher stored."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

import torch

from ingest.teachers import Compute
from pipelines.modalities import Decoded, Features
from pipelines.tokenizers.vq.file import FILE_NAME, load_tokenizer
from pipelines.tokenizers.vq.tokenizer import VqTokenizer
from shards.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The nearest code of every place.

    Args:
        tokenizer: File of a tokenizer, or the run that trained it, as `maskloom train vq_image` leaves it.
        target: Stored target whose features are quantised, by a tokenizer of features; its views are taken over.

    Raises:
        SettingsError: No tokenizer is named, or it needs a stored target, or has no use for one; when it is asked for.
        TokenizerFileError: There is no such tokenizer, or its file is damaged.
    """

    tokenizer: str = ""
    target: str = ""

    @property
    def modality(self) -> Decoded | str:
        """What the tokenizer was trained on."""
        shown = self._loaded.spec.modality
        if isinstance(shown, Features):
            return self._features
        if self.target:
            raise SettingsError(
                f"The tokenizer {self.tokenizer} looks at '{shown.field}', not at a stored target: leave out "
                f"--set target={self.target}."
            )
        return shown

    @property
    def _features(self) -> str:
        if not self.target:
            raise SettingsError(
                f"The tokenizer {self.tokenizer} quantises features: name the stored target that holds them, as in "
                "--set target=clip."
            )
        return self.target

    @property
    def shape(self) -> tuple[int]:
        """Places."""
        return (prod(self._loaded.grid),)

    @property
    def vocabulary(self) -> int:
        """Codes in the codebook."""
        return self._loaded.vocabulary

    @property
    def preprocessing(self) -> str:
        """How what is rendered becomes the teacher's input."""
        return "as the tokenizer's file says, by itself"

    @property
    def weights_sha256(self) -> str:
        """Digest of the tokenizer."""
        return self._loaded.weights_sha256

    @property
    def packages(self) -> tuple[str, ...]:
        """What quantises."""
        return ("vector-quantize-pytorch",)

    def load(self, device: torch.device) -> Compute:
        """Return the function from what is rendered, or from features, to ids [batch, places]."""
        return self._loaded.to(device).encode

    @property
    def _loaded(self) -> VqTokenizer:
        if not self.tokenizer:
            raise SettingsError(
                "Teacher 'tokens' needs a tokenizer: --set tokenizer=RUN, a run of `maskloom train vq_image`."
            )
        path = Path(self.tokenizer)
        file = path / FILE_NAME if path.is_dir() else path
        return _load(path, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=2)
def _load(path: Path, written_ns: int) -> VqTokenizer:
    """Return a tokenizer; kept until its file is written anew."""
    return load_tokenizer(path)
