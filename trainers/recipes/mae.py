"""MAE: predict the normalised pixels of the 75 % of patches the encoder never saw.

He, Chen, Xie, Li, Dollar, Girshick: Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377, sections
3 and 4, table 8; official code facebookresearch/mae. The encoder runs on visible patches alone; a decoder of 8 blocks
of width 512 sees them at their places, with one learned mask token everywhere else.

Expected: ImageNet-1K, 1600 epochs, fine-tuned top-1 83.6 (base), 85.9 (large), 86.9 (huge); linear probe 67.8 (base),
76.0 (large), 77.2 (huge).

Deviations from the official code: the number of visible patches is exact, where the code truncates a float product;
the class and mask tokens are not decayed; float32 or bfloat16 where the code has float16 with a gradient scaler. Sizes
tiny and small, which the paper does not have, come with a decoder of 4 blocks.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.patches import NormalisedPatches
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="mae",
        paper="arXiv:2111.06377",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": RandomPatches(ratio=0.75)},
        targets=(NormalisedPatches(),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=GlobalDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads),
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=4096,
            epochs=800,
            warmup_epochs=40,
            base_lr=1.5e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
