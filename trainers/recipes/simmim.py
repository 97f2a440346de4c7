"""SimMIM: hide 60 % of the picture in squares of 32 pixels, predict the raw pixels by one linear layer.

Xie, Zhang, Cao, Lin, Bao, Yao, Dai, Hu: SimMIM: a Simple Framework for Masked Image Modeling, 2021, arXiv:2111.09886,
sections 3 and 4; official code microsoft/SimMIM, `simmim_pretrain__vit_base__img224__800ep.yaml`. A vision transformer
with relative positions sees all places, a learned mask token at the hidden ones.

Expected: ImageNet-1K, 800 epochs, fine-tuned top-1 83.8 (base).

Deviations from the official code: the rate falls by half a cosine to a tenth, where the code drops it to a tenth at epoch
700; the loss is the mean over the hidden pixels, where the code adds 1e-5 to their number; the warm-up starts from zero, not
from 5e-7; the class token, the mask token and the relative positions are not decayed; attention has a bias of the keys,
which softmax cancels. The paper's main results are of Swin transformers, which are not here. Its ViT is of size base;
large and huge start their gains at 1e-5. A square is two patches wide: with patches of 8 pixels give
`--set masking.image.unit=4`.
"""

from pipelines.masking.units import UnitPatches
from pipelines.modalities import Image
from trainers.models.mask_token_encoder import MaskTokenEncoder
from trainers.objectives import absolute_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size, first_gain
from trainers.targets.patches import PixelPatches
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    return Recipe(
        name="simmim",
        paper="arXiv:2111.09886",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": UnitPatches(ratio=0.6, unit=2)},
        targets=(PixelPatches(),),
        model=MaskTokenEncoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            positions="relative",
            start="damped",
            layer_scale=first_gain(size),
            drop_path=0.1,
        ),
        objective=(Term(target="pixels", loss=absolute_error),),
        training=Training(
            batch=2048,
            epochs=800,
            warmup_epochs=10,
            base_lr=5e-5,
            min_lr=5e-6,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=5.0,
        ),
    )
