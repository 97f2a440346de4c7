"""MultiMAE: see a sixth of the patches of a picture, its depth and its segments together, and predict all the others.

Bachmann, Mizrahi, Atanov, Zamir: MultiMAE: Multi-modal Multi-task Masked Autoencoders, 2022, arXiv:2204.01678, section 3;
official code EPFL-VILAB/MultiMAE. 98 visible patches of 588, shared out among the three by a Dirichlet distribution; a decoder
for each target, which asks what was seen of all.

Expected: base, fine-tuned, ImageNet-1K 83.3, ADE20K 46.2 mIoU.

Deviations from the official code: shares are rounded by largest remainder, where the code repairs rounding by a second draw;
a sample of which everything was seen counts nowhere in that term, where the code's gradient becomes NaN; depth that is NaN is
neither seen nor predicted; segments are cropped by nearest pixel, where the code blends ids; positions of oblong grids are in
order. Segments are a raster of a quarter of the side, one id to a pixel; the fixed weights of the four terms are 1. The
encoder has no type embeddings and no final norm, as there. Decoders of the tiny and small sizes are narrower.
"""

from pipelines.masking.budget import VisibleBudget
from pipelines.modalities import Image, Raster
from trainers.content_losses import class_cross_entropy, measured_absolute_error
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder
from trainers.nn.joint_decoders import TargetDecoders
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.patches import NormalisedPatches, PixelPatches
from trainers.targets.rasters import ClassMap, RasterPatches
from trainers.terms import Term
from trainers.views import CropAndFlip

SIDE, NAMES = {"tiny": 112}, ("image", "depth", "segmentation")


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder, side = encoder_size(size), SIDE.get(size, 224)
    patches = (side // 16) ** 2
    return Recipe(
        name="multi_mae",
        paper="arXiv:2204.01678",
        modalities=(
            Image(size=side, patch=16),
            Raster(field="depth", size=side, patch=16),
            Raster(field="segmentation", size=side, patch=16, stride=4, is_ids=True, classes=133),
        ),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking=VisibleBudget(visible=patches // 2, alpha=1.0),
        targets=(
            PixelPatches(),
            NormalisedPatches(),
            RasterPatches(name="distances", modality="depth"),
            ClassMap(modality="segmentation"),
        ),
        model=MultimodalAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=TargetDecoders(width=min(256, encoder.width // 2), depth=2, heads=8 if size not in SIDE else 4),
            class_token=True,
            with_kind=False,
            final_norm=False,
            row_first=NAMES,
        ),
        objective=(
            Term(target="pixels", loss=squared_error, mean="samples"),
            Term(target="patches", loss=squared_error, mean="samples"),
            Term(target="distances", loss=measured_absolute_error, mean="samples"),
            Term(target="classes", loss=class_cross_entropy, mean="samples"),
        ),
        training=Training(
            batch=2048,
            epochs=1600,
            warmup_epochs=40,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
