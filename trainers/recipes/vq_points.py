"""VQ point tokens: groups of points become ids from which their shape can be given back.

Yu, Tang, Rao, Huang, Zhou, Lu: Point-BERT: Pre-training 3D Point Cloud Transformers with Masked Point Modeling, 2021,
arXiv:2111.14819, section 3.1; official code Julie-tang00/Point-BERT, `cfgs/ShapeNet55_models/dvae.yaml`. 64 centres, the
32 nearest points of each, a small PointNet; what is given back is compared by the L1 Chamfer distance of each group.

Expected: no figure is restated here; `maskloom eval` tells codebook use and the Chamfer distance of a run.

Deviations from the official code: codes compared by cosine and moved by the mean of their tokens, where it samples with a
Gumbel softmax and pulls the use of codes to even; transformers, where it has graph convolutions; the decoder is not told the
centres, so ids alone say what shape a group has; it gives all points at once, where it folds a plane around coarse ones;
layer norm, where it has batch norm; no random scale and shift of clouds; gradient clipping.

`--set modalities.points.count=1024` draws other numbers of points. The tokenizer is written to RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Points
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.content_losses import group_chamfer_l1
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import Contents
from trainers.terms import Penalty, Term
from trainers.views import AsStored


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder has a third of the blocks of the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_points",
        paper="arXiv:2111.14819",
        modalities=(Points(count=1024, groups=64, neighbours=32),),
        views=AsStored(),
        masking={"points": Everything()},
        targets=(Contents(modality="points"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth // 3,
            codebook=CosineCodebook(size=8192, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="contents", loss=group_chamfer_l1), Penalty(name=COMMITMENT)),
        training=Training(
            batch=64,
            epochs=300,
            warmup_epochs=10,
            base_lr=5e-4 * 4,
            min_lr=0.0,
            betas=(0.9, 0.999),
            weight_decay=5e-4,
            clip_norm=1.0,
        ),
    )
