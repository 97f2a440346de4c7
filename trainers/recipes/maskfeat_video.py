"""MaskFeat on clips: hide 40 % of a clip in cubes, predict histograms of oriented gradients of the first frame of tubelets.

Wei, Fan, Xie, Wu, Yuille, Feichtenhofer: Masked Feature Prediction for Self-Supervised Visual Pre-Training, 2021,
arXiv:2112.09133, sections 3 and 4; official code facebookresearch/SlowFast, `k400_MVITv2_S_16x4_MaskFeat_PT.yaml`. Cubes are
hidden in units of 32 x 32 pixels; an encoder sees all places, a learned mask token at hidden ones; a linear layer predicts.

Expected: of the paper's MViT, Kinetics-400, fine-tuned top-1 82.2 (MViT-S, 300 epochs), 84.3 (MViT-L, 800 epochs). None is
known of the plain transformer that is here.

Deviations from the official code: the encoder is a plain vision transformer of cubes of 2 frames by 16 x 16 pixels, where the
code has a multiscale one (MViTv2: overlapping patches of 3 x 7 x 7 pixels at a stride of 2 x 4 x 4, attention that pools);
its positions are learned, one for each token, where the code has relative ones; every clip hides the same number of units (157
of 392), where the code stops early when a cube finds no room, and cubes have at most the area that is still to be hidden, where
the code draws up to a whole frame and rejects; gradients that are rounding noise count as zero; positions, tokens and all
linear layers start from a truncated normal of 0.02; tokens and positions are not decayed; crops are of the stored frames, where
the code first resizes short sides to 256 to 320; the warm-up starts from zero, not from 1e-6. Uncertain: that the batch is 512
is from memory; the file has 32 for each machine, and a rate of 1e-4 for each, which are 8e-4 per 256 clips. Size tiny is ours,
with frames of 128 pixels.

Frames lie 4 apart at about 30 per second: ingest as for `video_mae`. `--set targets.hog.source=stored` reads histograms that
`maskloom targets DATASET --teacher hog --field video` has stored.
"""

from pipelines.masking.block import BlockPatches
from pipelines.masking.in_units import InUnits
from pipelines.modalities import Clip
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.hog import HogTarget
from trainers.terms import Term
from trainers.views import CropAndFlip, CroppedClip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder = encoder_size(size)
    return Recipe(
        name="maskfeat_video",
        paper="arXiv:2112.09133",
        modalities=(Clip(size=128 if size == "tiny" else 224, patch=16, frames=16, tubelet=2),),
        views=CroppedClip(stride=1, crop=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)),
        # The smallest cubes have 9 of the 49 units of a frame, which are 0.46 of those that are hidden in it.
        masking={"video": InUnits(masking=BlockPatches(ratio=0.4, smallest=0.46, aspect=(0.3, 1 / 0.3)), unit=2)},
        targets=(HogTarget(source="computed", modality="video"),),
        model=MaskTokenEncoder(width=encoder.width, depth=encoder.depth, heads=encoder.heads),
        objective=(Term(target="hog", loss=squared_error),),
        training=Training(
            batch=512,
            epochs=300,
            warmup_epochs=10,
            base_lr=8e-4,
            min_lr=5e-7,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=0.02,
        ),
    )
