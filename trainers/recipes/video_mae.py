"""VideoMAE: hide the same 90 % of the patches in all frames of a clip, predict their normalised pixels.

Tong, Song, Wang, Wang: VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training,
2022, arXiv:2203.12602, sections 3 and 4; official code MCG-NJU/VideoMAE. Cubes of 2 frames by 16 x 16 pixels, no class token;
each cube is standardised colour by colour.

Expected: Kinetics-400, 1600 epochs, fine-tuned top-1 79.0 (small), 81.5 (base), 85.2 (large), 86.6 (huge); Something-Something
V2, 2400 epochs, 66.8 (small), 70.8 (base).

Deviations from the official code: the number of hidden patches is exact, where the code truncates a float product; cubes
of one colour have targets of zero, where the code divides its rounding error; the warm-up starts from zero; a side of a crop
within 3 pixels of the picture's is not rounded to it; the cubes' embedding starts Xavier-uniform, and mask tokens from a
normal distribution that is not cut; float32 or bfloat16 for float16. Size tiny is ours, with frames of 112 pixels, for a
CPU, learned as base is. Batches and epochs are the code's on Kinetics-400, whose base has 1600 epochs too; its scripts have
one epoch more. On Something-Something the code's small has a batch of 2048, and small and base have 2400 epochs.

The paper's 16 frames lie 4 apart at about 30 per second (2 apart on Something-Something). `maskloom ingest` keeps 16 of each
clip, so these are `--clip-seconds 2.1`; of clips with more frames, `--set views.stride=4` takes every fourth.
"""

from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import Size, encoder_size
from trainers.targets.patches import ColourNormalisedPatches
from trainers.terms import Term
from trainers.views import ClipAndCrop

DECODERS = {
    "tiny": Size(width=96, depth=2, heads=3, patch=16),
    "small": Size(width=192, depth=4, heads=3, patch=16),
    "base": Size(width=384, depth=4, heads=6, patch=16),
    "large": Size(width=512, depth=12, heads=8, patch=16),
    "huge": Size(width=640, depth=12, heads=8, patch=16),
}

BATCHES = {"tiny": 2048, "small": 1024, "base": 2048, "large": 512, "huge": 1024}
EPOCHS = {"tiny": 800, "small": 1600, "base": 800, "large": 1600, "huge": 1600}


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder = encoder_size(size)
    decoder = DECODERS[size]
    return Recipe(
        name="video_mae",
        paper="arXiv:2203.12602",
        modalities=(Clip(size=112 if size == "tiny" else 224, patch=16, frames=16, tubelet=2),),
        views=ClipAndCrop(stride=1, scales=(1.0, 0.875, 0.75, 0.66), flip_probability=0.0),
        masking={"video": TubePatches(ratio=0.9)},
        targets=(ColourNormalisedPatches(),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=GlobalDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads),
            class_token=False,
            biases="query and value",
            bridge_bias=False,
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=BATCHES[size],
            epochs=EPOCHS[size],
            warmup_epochs=40,
            base_lr=1.5e-4,
            min_lr=1e-5,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
