"""VideoMAE V2: hide 90 % of a clip in tubes, and predict half of what is hidden, which is all that the decoder sees of it.

Wang, Huang, Zhao, Tong, He, Wang, Wang, Qiao: VideoMAE V2: Scaling Video Masked Autoencoders with Dual Masking, 2023,
arXiv:2303.16727, sections 3.2 and 4; official code OpenGVLab/VideoMAEv2. Decoders have 4 blocks; all else is VideoMAE's.

Expected: the paper's giant, 1200 epochs on its collection of unlabelled clips, fine-tuned top-1 87.2 on Kinetics-400 and 77.0
on Something-Something V2. Of smaller models no figure is restated.

Deviations from the official code: size giant (1408 wide, 40 blocks, patches of 14) is left out, as hidden layers of 48/11 the
width are not to be had here; mask tokens stand where a cell meets a hidden place, where the code has them at visible places too
and leaves these out of the loss alone; a clip is cropped once each time it is read, where the code takes four crops and counts
that as one epoch, here as four; the number of hidden patches is exact, where the code truncates a float product; cubes of one
colour have targets of zero, where the code divides its rounding error; the warm-up starts from zero; a side of a crop within 3
pixels of the picture's is not rounded to it; the cubes' embedding starts Xavier-uniform, and mask tokens from a normal
distribution that is not cut; float32 or bfloat16 for float16. Batch, epochs and rates are those of the code's giant at all
sizes; its script of base has 4096 clips, 800 epochs, 80 of them warm-up, 2.5e-4 per 256 clips and no clipping. The widths of
decoders, these scripts, and what the engine does with visible places were read in copies of the code. Size tiny is ours, with
frames of 112 pixels, for a CPU.

Frames lie 4 apart at about 30 per second (2 apart on Something-Something): ingest as for `video_mae`.
"""

from pipelines.masking.target_share import RunningCellTargets
from pipelines.masking.tube import TubePatches
from pipelines.modalities import Clip
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import ChosenDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.patches import ColourNormalisedPatches
from trainers.terms import Term
from trainers.views import ClipAndCrop

DECODERS = {"tiny": (96, 3), "small": (192, 3), "base": (384, 6), "large": (512, 8), "huge": (512, 8)}
"""Width and heads."""


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder = encoder_size(size)
    decoder_width, decoder_heads = DECODERS[size]
    return Recipe(
        name="video_mae_v2",
        paper="arXiv:2303.16727",
        modalities=(Clip(size=112 if size == "tiny" else 224, patch=16, frames=16, tubelet=2),),
        views=ClipAndCrop(stride=1, scales=(1.0, 0.875, 0.75, 0.66), flip_probability=0.0),
        masking={"video": RunningCellTargets(masking=TubePatches(ratio=0.9), kept=0.5)},
        targets=(ColourNormalisedPatches(),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=ChosenDecoder(width=decoder_width, depth=4, heads=decoder_heads),
            class_token=False,
            biases="query and value",
            bridge_bias=False,
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=8192,
            epochs=1200,
            warmup_epochs=120,
            base_lr=1.5e-4,
            min_lr=2.5e-6,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=0.02,
        ),
    )
