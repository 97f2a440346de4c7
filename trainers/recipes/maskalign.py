"""MaskAlign: show a student 30 % of the patches, let its blocks match several levels of a teacher that saw all of them.

Xue, Gao, Li, Qiao, Sun, Li, Luo: Stare at What You See: Masked Image Modeling without Reconstruction, 2022,
arXiv:2211.08887, sections 3 and 4; official code OpenDriveLab/maskalign. Nothing hidden is predicted. Patches are shown with
a probability that grows with the attention they get from the teacher's class token. For each of the teacher's last five
levels, learned weights mix all blocks of the student, and a linear layer adapts the mixture.

Expected: ImageNet-1K, 200 epochs, fine-tuned top-1 85.4 (base, CLIP ViT-B/16), 87.4 (large, CLIP ViT-L/14).

Deviations from the official code: the class token is not aligned, only visible patches are; it has no weights for levels
that are not aligned; the teacher sees the crop that was stored, one of a few of each picture. With fewer or more blocks than
the teacher the mixtures start as for base, where the code mixes all blocks evenly. What is evaluated ends with a
norm that has nothing to learn.

It reads six targets of one vision transformer, made by `maskloom targets DATASET --teacher dino` (which has CLIP's too, with
their attention): its attention, and its patches after each of the last five layers before any norm. Training without
them says the commands.
"""

from pipelines.masking.score import ScoredPatches
from pipelines.modalities import Image
from trainers.models.aligned_encoder import AlignedEncoder
from trainers.objectives import SmoothL1
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.features import FeatureTarget
from trainers.terms import Term
from trainers.views import CropAndFlip

LEVELS = tuple(range(-5, 0))
"""Layers of the teacher, counted from its end."""


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    targets = tuple(
        FeatureTarget(
            name=f"level{layer + 6}",
            table=f"dino:output=patches,layer={layer},norm=False",
            width=768,
            places="visible",
            normalisation="layer_norm",
            suggested=("model=vit_base_patch16_clip_quickgelu_224.openai",),
        )
        for layer in LEVELS
    )
    return Recipe(
        name="maskalign",
        paper="arXiv:2211.08887",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": ScoredPatches(score="dino:output=attention", ratio=0.7, hidden="lowest", temperature=1.0)},
        targets=targets,
        model=AlignedEncoder(width=encoder.width, depth=encoder.depth, heads=encoder.heads, drop_path=0.1),
        objective=tuple(
            Term(target=target.name, loss=SmoothL1(beta=1.0), weight=2 / len(LEVELS)) for target in targets
        ),
        training=Training(
            batch=1024,
            epochs=200,
            warmup_epochs=20,
            base_lr=1.5e-4,
            min_lr=2.5e-6,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
