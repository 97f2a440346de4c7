"""MaskFeat: hide 40 % of the patches in blocks, predict their histograms of oriented gradients.

Wei, Fan, Xie, Wu, Yuille, Feichtenhofer: Masked Feature Prediction for Self-Supervised Visual Pre-Training, 2021,
arXiv:2112.09133, sections 3 and 5; official code facebookresearch/SlowFast, `in1k_VIT_B_MaskFeat_PT.yaml`. A vision
transformer sees all places, a learned mask token at the hidden ones, and one linear layer predicts the histograms.

Expected: ImageNet-1K, 1600 epochs, fine-tuned top-1 84.0 (base), 85.7 (large).

Deviations from the official code: every picture hides the same number of patches (78 of 196), where the code stops early
when a block finds no room; gradients that are rounding noise count as zero, where the code votes with them; positions,
tokens and all linear layers start from a truncated normal of 0.02; tokens and positions are not decayed; the warm-up
starts from zero, not from 1e-6. 300 epochs are those of the configuration file, 1600 those of the results.
The histograms are computed at every step; `--set targets.hog.source=stored` reads those of
`maskloom targets DATASET --teacher hog` instead.
"""

from pipelines.masking.block import BlockPatches
from pipelines.modalities import Image
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.hog import HogTarget
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    return Recipe(
        name="maskfeat",
        paper="arXiv:2112.09133",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": BlockPatches(ratio=0.4, smallest=0.2, aspect=(0.3, 1 / 0.3))},
        targets=(HogTarget(source="computed"),),
        model=MaskTokenEncoder(width=encoder.width, depth=encoder.depth, heads=encoder.heads),
        objective=(Term(target="hog", loss=squared_error),),
        training=Training(
            batch=2048,
            epochs=300,
            warmup_epochs=30,
            base_lr=2e-4,
            min_lr=1.25e-7,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=0.02,
        ),
    )
