"""Tokenizers that quantise vectors: pictures, sound, maps, features and points become ids of a codebook, and back.

    tokenizer = load_tokenizer(Path("runs/tokens"))     # a file, or the folder of a run
    ids = tokenizer.encode(batch.inputs["image"])       # int64 [batch, tokens]
    pictures = tokenizer.decode(ids)                    # uint8 [batch, 3, size, size]

They are trained by the recipes `vq_*` of `trainers`, and used by the teacher `tokens`.
"""

from pipelines.tokenizers.vq.file import TokenizerFileError, load_tokenizer
from pipelines.tokenizers.vq.tokenizer import VqTokenizer

__all__ = ["TokenizerFileError", "VqTokenizer", "load_tokenizer"]
