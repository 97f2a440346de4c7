"""Point-CMAE: hide 60 % of the groups of a cloud twice, predict both, and say the same of groups that are hidden both times.

Ren, Mei, Paudel, Wang, Li, Liu, Cucchiara, Van Gool, Sebe: Bringing Masked Autoencoders Explicit Contrastive Properties for
Point Cloud Self-Supervised Learning, 2024, arXiv:2407.05862; official code Amazingren/Point-CMAE. Point-MAE with two random
masks of the same groups, one encoder, two decoders of the same shape, and one minus the cosine of the features that the two
decoders have of a group hidden by both masks. The paper's size is small. The second mask is that of a second modality,
`points_again`, which is the same points: the settings of both, and their augmentations, have to be changed alike.

Expected: the paper's numbers are not restated, as none of them was checked.

Deviations from the official code: features are compared after the norm of the decoder, of each group with itself, and averaged
cloud by cloud, where the code takes them before the norm, and compares each with all groups of the other decoder, over all
clouds of a batch alike (the paper's abstract says of the same token, which is what this does); there are no class tokens,
which the code adds and no loss reads; only visible groups are embedded, for each mask by itself, so batch norms see no hidden
points and some others twice; further those of `point_mae` from its code, on which this is built.

Guesses: the weight of the contrast. The published file has it beside the two Chamfer distances; training files of its
experiments multiply these by 1000 before they add them up, and some weigh the contrast by 5 or 10; here it is 1 to 1000. The
learning rate is that of the code's configuration, the rest of the optimisation that of Point-MAE. The text of the paper
beyond its abstract was not at hand, nor published weights or numbers to compare with. Other sizes than small are ours.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Points
from trainers.augmentation import ScaleAndTranslate
from trainers.content_losses import group_chamfer_l2
from trainers.models.twice_masked_autoencoder import DISAGREEMENT, TwiceMaskedAutoencoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.groups import GroupPoints
from trainers.terms import Penalty, Term
from trainers.views import AsStored

NAMES = ("points", "points_again")


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; each decoder has a third of the blocks of the encoder."""
    encoder = encoder_size(size)
    stretched = ScaleAndTranslate(scale=(2 / 3, 3 / 2), shift=0.2)
    return Recipe(
        name="point_cmae",
        paper="arXiv:2407.05862",
        modalities=tuple(
            Points(name=name, count=1024, groups=64, neighbours=32, in_unit_sphere=True) for name in NAMES
        ),
        views=AsStored(),
        masking={name: RandomPatches(ratio=38 / 64) for name in NAMES},  # 38 of 64 are hidden; see `point_mae`
        targets=tuple(GroupPoints(name=name, modality=name) for name in NAMES),
        model=TwiceMaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth // 3,
            decoder_heads=encoder.heads,
            drop_path=0.1,
        ),
        objective=(
            *(Term(target=name, loss=group_chamfer_l2) for name in NAMES),
            Penalty(name=DISAGREEMENT, weight=0.001),
        ),
        training=Training(
            batch=128,
            epochs=300,
            warmup_epochs=10,
            base_lr=2e-3,
            min_lr=2e-6,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=None,
        ),
        augmentation=dict.fromkeys(NAMES, stretched),
    )
