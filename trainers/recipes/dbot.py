"""dBOT: a masked autoencoder that predicts a teacher's features, stage by stage, from a teacher of random weights on.

Liu, Zhou, Kong, Lin, Ji: Exploring Target Representations for Masked Autoencoders, 2022, arXiv:2209.03917, sections 3 and 4;
official code liuxingbin/dbot. The first teacher is a network as it was initialised; each later one is the encoder that
the stage before has trained, and the student starts anew. Two stages are best for classification.

Expected: ImageNet-1K, two stages of 800 epochs, fine-tuned top-1 84.5 (base), 86.6 (large), 87.4 (huge).

Deviations from the official code: the class token's feature is not predicted; the spread that is taken out of features is
that of all values (divided by their number, not by one less); the first teacher is a random network of its own, where
the code's has the weights that the student starts from; the teacher sees the crop that was stored, one of a few of each
picture. The branch with CLIP as the teacher, which has relative positions and no decoder, is `maskdistill` but for its
cosine loss. Unsure: dropped branches, which the code has as an option, are left out.

Stage one reads `maskloom targets DATASET --teacher random`. For stage two let the encoder of stage one teach:
`maskloom export RUN one.safetensors`, `maskloom targets DATASET --teacher dino --set weights=one.safetensors --set norm=false`,
and train with `--set targets.features.table=dino:norm=False` into another folder.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.objectives import SmoothL1
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.features import FeatureTarget
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="dbot",
        paper="arXiv:2209.03917",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": RandomPatches(ratio=0.75)},
        targets=(
            FeatureTarget(
                table="random:output=patches,norm=False",
                width=encoder.width,
                places="target",
                normalisation="layer_norm",
                suggested=(f"model=vit_{size}_patch{encoder.patch}_224",),
            ),
        ),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=GlobalDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads),
        ),
        objective=(Term(target="features", loss=SmoothL1(beta=2.0)),),
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
