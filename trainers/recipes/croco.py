"""CroCo: predict the normalised pixels of 90 % of a picture from the rest and from another view of the same scene.

Weinzaepfel, Leroy, Lucas, Bregier, Cabon, Arora, Antsfeld, Chidlovskii, Csurka, Revaud: CroCo: Self-Supervised Pre-training
for 3D Vision Tasks by Cross-View Completion, 2022, arXiv:2210.10716, section 3; official code naver/croco (version 1, sines
and cosines). One encoder for both pictures, of which the second is wholly visible; decoder blocks attend to the first, then
to the second.

A dataset has the two pictures as fields `left`, which is completed, and `right`; others by `--set modalities.left.field=NAME`.
Each has a look of its own, as in the code: its own crop of 7/8 of its side (224 of 256 pixels) and its own colours, never
mirrored. The two always overlap; of a picture that is not square the square in the middle is taken. Give
`--set modalities.right.look=0` for one box and one change of colours for both, which are then of one shape, and
`--set views.crop.scale=0.2,0.5` for boxes anywhere in wide pictures.

Expected: base, 1.8 million pairs rendered by Habitat, 400 epochs. Results of fine-tuning (depth, flow, poses) are not restated.

Deviations from the official code: 19 of 196 patches are visible, exactly 10 % rounded down, where the code hides 176 and
shows 20; half a cosine over the 400 epochs, where the code follows one of 800 and stops half-way; brightness, contrast and
saturation change in this order, where the code shuffles it; the mask token is not decayed; float32 or
bfloat16 for float16. The paper also warps pictures by homographies, which the code leaves out as of no use. Only base is the
paper's size; tiny and small have a decoder of 4 narrower blocks. Not compared with published weights or numbers.
"""

from pipelines.masking.random import RandomPatches
from pipelines.masking.visible import Visible
from pipelines.modalities import Image
from trainers.models.cross_completion import CrossCompletion
from trainers.nn.cross_decoder import CrossDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.patches import NormalisedPatches
from trainers.terms import Term
from trainers.views import CropAndFlip, WithColours


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="croco",
        paper="arXiv:2210.10716",
        modalities=(
            Image(field="left", size=224, patch=encoder.patch),
            Image(field="right", size=224, patch=encoder.patch, look=1),
        ),
        views=WithColours(
            crop=CropAndFlip(scale=(49 / 64, 49 / 64), ratio=(1.0, 1.0), flip_probability=0.0),
            brightness=0.4,
            contrast=0.4,
            saturation=0.4,
        ),
        masking={"left": RandomPatches(ratio=0.9), "right": Visible()},
        targets=(NormalisedPatches(modality="left"),),
        model=CrossCompletion(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=CrossDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads),
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=256,
            epochs=400,
            warmup_epochs=40,
            base_lr=1.5e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
