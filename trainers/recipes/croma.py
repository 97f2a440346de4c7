"""CROMA: tell which radar image belongs to which optical one, and predict three quarters of both from what is left of both.

Fuller, Millard, Green: CROMA: Remote Sensing Representations with Contrastive Radar-Optical Masked Autoencoders, NeurIPS 2023,
arXiv:2311.00566, section 3; official code antofuller/CROMA. Sentinel-1 (2 channels) and Sentinel-2 (12 bands) of one place and
time, 120 pixels, patches of 8, hidden independently of each other. Radar has half the blocks of optical; then radar tokens
attend to optical ones, and one block decodes both. 2-D and X-ALiBi in all encoders, sines and cosines in the decoder.

A dataset has the rasters as fields `radar` and `optical`; others by `--set modalities.radar.field=NAME`, other numbers of
bands by `--set modalities.optical.channels=13`. Samples need both. Of tiles that are about as large as the picture, show more
than 5 to 46 % of the area: `--set views.scale=0.5,1`.

Expected: base and large; what they reach is in the paper's tables, which were not checked and are not restated.

Deviations from the official code: every channel of a sample is standardised by its own mean and spread without the tenths at
both ends, where the code cuts what is two spreads off and scales to 0 to 1; patches are normalised by sensor, where the code
takes all 14 channels together; unmeasured values (NaN) are not predicted; in the fusion, radar tokens are biased among
themselves by their own places, where the code takes those of optical tokens for the keys; the temperature of the contrast is
fixed at 0.07, from which the code learns it; contexts have norms of their own, and cross-attention has biases; weights start
Xavier-uniform. The code has no training loop: crops of 60 to 180 of 264 pixels, batch, rate, epochs and warm-up are from
memory of the paper, the rest of the optimisation is AdamW's default; turns and mixtures of samples, as there, are left out.
Heads of tiny and small are as wide as those of base; tiny, small and huge are not the paper's.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Raster
from trainers.content_losses import measured_squared_error
from trainers.models.sensor_fusion import SensorFusion
from trainers.nn.blocks import BlockStyle
from trainers.nn.joint_decoders import JointDecoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.rasters import NormalisedRasterPatches
from trainers.terms import Contrast, Term
from trainers.views import CropAndFlip

HEADS = {"tiny": 4, "small": 8, "base": 16, "large": 16, "huge": 16}


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; patches have 8 pixels at all of them."""
    encoder = encoder_size(size)
    return Recipe(
        name="croma",
        paper="arXiv:2311.00566",
        modalities=(
            Raster(field="radar", size=120, patch=8, channels=2),
            Raster(field="optical", size=120, patch=8, channels=12),
        ),
        views=CropAndFlip(scale=(0.05, 0.46), ratio=(1.0, 1.0), flip_probability=0.5),
        masking={"radar": RandomPatches(ratio=0.75), "optical": RandomPatches(ratio=0.75)},
        targets=(
            NormalisedRasterPatches(name="echoes", modality="radar"),
            NormalisedRasterPatches(name="bands", modality="optical"),
        ),
        model=SensorFusion(
            width=encoder.width,
            depth=encoder.depth,
            heads=HEADS[size],
            decoder=JointDecoder(
                width=min(512, encoder.width), depth=1, heads=8, own_mask_tokens=False, with_kind=False
            ),
            style=BlockStyle(biases="none", norm_eps=1e-5),
        ),
        objective=(
            Term(target="echoes", loss=measured_squared_error),
            Term(target="bands", loss=measured_squared_error),
            Contrast(between=("radar", "optical"), temperature=0.07),
        ),
        training=Training(
            batch=7200,
            epochs=600 if size == "large" else 300,
            warmup_epochs=30 if size == "large" else 15,
            base_lr=4e-6,
            min_lr=0.0,
            betas=(0.9, 0.999),
            weight_decay=0.01,
            clip_norm=None,
        ),
    )
