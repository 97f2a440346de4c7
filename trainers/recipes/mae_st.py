"""MAE of space and time: hide 90 % of the cubes of a clip at random, predict the normalised pixels of one frame of each.

Feichtenhofer, Fan, Li, He: Masked Autoencoders As Spatiotemporal Learners, 2022, arXiv:2205.09113, sections 3, 4 and A;
official code facebookresearch/mae_st, and facebookresearch/SlowFast, `k400_VIT_L_16x4_MAE_PT.yaml`, in which the published
models were trained. Cubes of 2 frames by 16 x 16 pixels; positions are learned, of times and of places in them, in encoder and
decoder; the decoder has 4 blocks of width 512. The target is the first frame of each cube, standardised over its patch.

Expected: not restated here; no figure was checked.

Deviations from the official code: mae_st predicts frames 0, 2, ..., 12 and 15 of 16 (it spaces them evenly), SlowFast the
first frame of every cube, as here; the decoder is given the encoder's class token, where the code drops it and has another
one, and class tokens have no learned position on top; pixels are normalised by ImageNet's mean and spread of each colour,
where the code has 0.45 and 0.225 for all, which changes targets a little; query, key and value start as one matrix, where
mae_st has three; one clip is taken each time a video is read, where the code takes four and counts that as one epoch, here as
four; crops are of the stored frames, where the code first resizes short sides to 256 to 320; class and mask tokens and
positions are not decayed; the last rate is mae_st's 0, where SlowFast has 1e-6, and the warm-up starts from zero; float32 or
bfloat16. Uncertain: batch and epochs (512 clips, 800 epochs, 120 of them warm-up, highest rate 1.6e-3) are the paper's from
memory, with which SlowFast's file agrees, but not whether 512 counts clips or videos; heads of the decoder are mae_st's 16.
Huge has patches of 14 pixels; sizes tiny and small are ours, with narrower decoders, tiny with frames of 112 pixels.

Frames lie 4 apart at about 30 per second: ingest as for `video_mae`.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Clip
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.first_frames import NormalisedFirstFrames
from trainers.terms import Term
from trainers.views import CropAndFlip, CroppedClip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="mae_st",
        paper="arXiv:2205.09113",
        modalities=(Clip(size=112 if size == "tiny" else 224, patch=encoder.patch, frames=16, tubelet=2),),
        views=CroppedClip(stride=1, crop=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)),
        masking={"video": RandomPatches(ratio=0.9)},
        targets=(NormalisedFirstFrames(),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=GlobalDecoder(width=decoder.width, depth=4, heads=decoder.heads),
            positions="separable",
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=512,
            epochs=800,
            warmup_epochs=120,
            base_lr=8e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=0.02,
        ),
    )
