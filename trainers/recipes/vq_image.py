"""VQ image tokens: a transformer turns patches into ids of a codebook, and another turns them back into pixels.

Yu, Li, Koh, Zhang, Pang, Qin, Ku, Xu, Baldridge, Wu: Vector-quantized Image Modeling with Improved VQGAN, 2021,
arXiv:2110.04627, section 3: transformers, and codes of 32 dimensions that are compared by cosine. The codebook's size, its
moving means, its dead codes and the optimisation are those of 4M (Mizrahi et al., arXiv:2312.06647), official code
apple/ml-4m, `cfgs/default/tokenization`.

Expected: none of either paper, whose pictures come from adversarial or diffusion decoders. What this recipe reached on
CIFAR-10 is in docs/results.md; codebook use and PSNR of a run are told by `maskloom eval`.

Deviations: squared error of pixels alone, where the paper adds perceptual, logit-Laplace and adversarial losses, so pictures
are smooth; one linear layer into the codebook, where both have a perceptron; no average of weights; codes are replaced when
they take less than a tenth of an even share of the tokens, where 4M counts 32 tokens per GPU.

`--set model.codebook.size=1024` takes fewer codes. The tokenizer is written to RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Image
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import Contents
from trainers.terms import Penalty, Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder is as large as the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_image",
        paper="arXiv:2110.04627",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": Everything()},
        targets=(Contents(modality="image"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth,
            codebook=CosineCodebook(size=16_384, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="contents", loss=squared_error), Penalty(name=COMMITMENT)),
        training=Training(
            batch=1024,
            epochs=50,
            warmup_epochs=5,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            clip_norm=1.0,
        ),
    )
