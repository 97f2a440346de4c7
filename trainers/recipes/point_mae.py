"""Point-MAE: hide 60 % of the groups of a point cloud, predict where their points are.

Pang, Wang, Tay, Liu, Tian, Yuan: Masked Autoencoders for Point Cloud Self-supervised Learning, 2022, arXiv:2203.06604, sections
3 and 4; official code Pang-Yatian/Point-MAE. 64 centres far from each other, the 32 points nearest to each; the encoder sees
visible groups, the decoder mask tokens at the centres of hidden ones. The paper's size is small.

Expected: small, fine-tuned overall accuracy 85.18 on the hardest variant of ScanObjectNN, 93.80 on ModelNet40 with 1024 points.

Deviations from the official code: only visible groups are embedded, so batch norms see no hidden points, where the code embeds
all; all linear layers start from a truncated normal of 0.02; points with a norm below 0.03 can become centres, where the code
passes them over; the mask token is not decayed; features are pooled by their mean, where the code joins mean and maximum; the
warm-up starts from zero, and there are 300 epochs, not 301. Batch norms take the statistics of what one process sees in a step,
and move their averages by the first process alone, so runs on several processes differ by that. Unsure: how the code starts the
decoder's layers, and whether it clips gradients. Other sizes than small are ours.

Clouds are moved and scaled to radius 1, then, in training, stretched and shifted.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Points
from trainers.augmentation import ScaleAndTranslate
from trainers.content_losses import group_chamfer_l2
from trainers.models.group_autoencoder import GroupAutoencoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.groups import GroupPoints
from trainers.terms import Term
from trainers.views import AsStored


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder has a third of the blocks of the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="point_mae",
        paper="arXiv:2203.06604",
        modalities=(Points(count=1024, groups=64, neighbours=32, in_unit_sphere=True),),
        views=AsStored(),
        # The code hides floor(0.6 x 64) groups, where a share of 0.6 would show floor(0.4 x 64) and hide one more.
        masking={"points": RandomPatches(ratio=38 / 64)},
        targets=(GroupPoints(),),
        model=GroupAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth // 3,
            decoder_heads=encoder.heads,
            drop_path=0.1,
        ),
        objective=(Term(target="points", loss=group_chamfer_l2),),
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
        augmentation={"points": ScaleAndTranslate(scale=(2 / 3, 3 / 2), shift=0.2)},
    )
