"""VQ depth tokens: patches of a depth map become ids, from which measured distances are given back in their unit.

Mizrahi, Bachmann, Kar, Yeo, Gao, Dehghan, Zamir: 4M: Massively Multimodal Masked Modeling, 2023, arXiv:2312.06647,
section 2.2 and appendix; official code apple/ml-4m, `cfgs/default/tokenization/divae/depth`.

Expected: none of the paper, whose decoder is a diffusion model; `maskloom eval` tells codebook use and the relative error.

Deviations from the official code: a transformer decodes, where it has a diffusion UNet; squared error of logarithms, so that
the unit does not matter, where depth is standardised there; what was not measured (0, negative, NaN) is shown as such and not
asked for; one linear layer into the codebook, where it has a perceptron; no average of weights; dead codes as in `vq_image`;
decay of weights 0.05, which the configuration does not name.

It serves any raster of numbers above 0: `--set modalities.depth.field=thermal`. The tokenizer is written to
RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Raster
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.content_losses import measured_squared_error
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import Contents
from trainers.terms import Penalty, Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder is as large as the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_depth",
        paper="arXiv:2312.06647",
        modalities=(Raster(size=224, patch=encoder.patch, field="depth"),),
        views=CropAndFlip(scale=(0.8, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"depth": Everything()},
        targets=(Contents(modality="depth"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth,
            codebook=CosineCodebook(size=8192, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="contents", loss=measured_squared_error), Penalty(name=COMMITMENT)),
        training=Training(
            batch=512,
            epochs=20,
            warmup_epochs=5,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            clip_norm=1.0,
        ),
    )
