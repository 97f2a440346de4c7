"""VQ segment tokens: patches of a class map become ids, from which the class of every pixel is given back.

Mizrahi, Bachmann, Kar, Yeo, Gao, Dehghan, Zamir: 4M: Massively Multimodal Masked Modeling, 2023, arXiv:2312.06647,
section 2.2 and appendix; official code apple/ml-4m, `cfgs/default/tokenization/vqvae/semseg_coco`. The class of a pixel is
embedded, and its scores are predicted with a cross-entropy.

Expected: no figure is restated here; `maskloom eval` tells codebook use and the share of pixels of the right class.

Deviations from the official code: a batch of 512, where it has 80 for each of an unnamed number of GPUs; ids that are no class
are shown as one of their own and not asked for; one linear layer into the codebook, where it has a perceptron; no average of
weights; dead codes as in `vq_image`; decay of weights 0.05, which the configuration does not name.

Classes are the ids 0 to 132, those of COCO; `--set targets.classes.classes=40` has others. The tokenizer is written to
RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Raster
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.content_losses import class_cross_entropy
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import ClassIds
from trainers.terms import Penalty, Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder is as large as the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_segments",
        paper="arXiv:2312.06647",
        modalities=(Raster(size=224, patch=encoder.patch, field="segmentation", is_ids=True),),
        views=CropAndFlip(scale=(0.8, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"segmentation": Everything()},
        targets=(ClassIds(classes=133, modality="segmentation"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth,
            codebook=CosineCodebook(size=4096, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="classes", loss=class_cross_entropy), Penalty(name=COMMITMENT)),
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
