"""MaskDistill: hide 40 % of the patches in blocks, predict the normalised features that CLIP has of them.

Peng, Dong, Bao, Ye, Wei: A Unified View of Masked Image Modeling, 2022, arXiv:2210.10615, sections 2 and 3. No official
code was published. A vision transformer with relative positions sees all places, a learned mask token at the hidden ones;
a linear layer predicts the teacher's features, whose mean and spread are taken out of each token.

Expected: ImageNet-1K, 300 epochs, fine-tuned top-1 88.3 (huge, with CLIP ViT-L/14); other sizes are not restated here.

Deviations: the teacher sees the crop that was stored, one of a few of each picture, mirrored with it; pictures have no jitter
of colours. What the paper leaves open, or could not be checked, is as in BEiT v2 (arXiv:2208.06366, `beit2` of
microsoft/unilm) at 300 epochs: learning rate, gains, initial weights, clipping, no dropped branches. Also unsure: where the
smooth L1 bends (1), whether the teacher's own last norm comes before the normalisation (it does), and that 78 of 196 patches
are hidden (BEiT v2 hides 75). Tokens and relative positions are not decayed.

It reads `maskloom targets DATASET --teacher clip`. For another teacher name it and its width, as in
`--set targets.features.table=dino --set targets.features.width=384`.
"""

from pipelines.masking.block import BlockPatches
from pipelines.modalities import Image
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.objectives import SmoothL1
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size, first_gain
from trainers.targets.features import FeatureTarget
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    return Recipe(
        name="maskdistill",
        paper="arXiv:2210.10615",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": BlockPatches(ratio=0.4, smallest=0.2, aspect=(0.3, 1 / 0.3))},
        targets=(
            FeatureTarget(
                table="clip:output=patches",
                width=768,
                places="target",
                normalisation="layer_norm",
                suggested=("model=ViT-B-16", "pretrained=openai"),
            ),
        ),
        model=MaskTokenEncoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            positions="relative",
            start="damped",
            layer_scale=first_gain(size),
        ),
        objective=(Term(target="features", loss=SmoothL1(beta=1.0)),),
        training=Training(
            batch=2048,
            epochs=300,
            warmup_epochs=10,
            base_lr=1.5e-3 / 8,
            min_lr=1.25e-6,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=3.0,
        ),
    )
