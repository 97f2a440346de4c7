"""VQ sound tokens: patches of a log-mel spectrogram become ids, from which the spectrogram is given back.

van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, 2017, arXiv:1711.00937, section 3 (codes that move
with the mean of their vectors), on patches as masked models of sound see them (AudioMAE, Huang et al., arXiv:2207.06405).

Expected: no published figure is for spectrograms of this kind; `maskloom eval` tells codebook use and the mean error.

Deviations: transformers and codes compared by cosine, and the optimisation, as in `vq_image`, where the paper has
convolutions over the waveform; the codebook has 8,192 codes, the paper 512.

Seconds are `modalities.logmel.frames` / 100. The tokenizer is written to RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import LogMel
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import Contents
from trainers.terms import Penalty, Term
from trainers.views import AsStored


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder is as large as the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_spectrogram",
        paper="arXiv:1711.00937",
        modalities=(LogMel(frames=1024, bins=128, patch=16),),
        views=AsStored(),
        masking={"logmel": Everything()},
        targets=(Contents(modality="logmel"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth,
            codebook=CosineCodebook(size=8192, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="contents", loss=squared_error), Penalty(name=COMMITMENT)),
        training=Training(
            batch=256,
            epochs=50,
            warmup_epochs=5,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            clip_norm=1.0,
        ),
    )
