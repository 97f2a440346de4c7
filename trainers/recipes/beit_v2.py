"""BEiT v2: hide 40 % of the patches in blocks, predict the ids that a tokenizer of semantic features gave them.

Peng, Dong, Bao, Ye, Wei: BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers, 2022, arXiv:2208.06366,
section 2 and appendix; official code microsoft/unilm, `beit2`. So that the class token says something, a head of two
blocks predicts the ids too, from the class token of the last block and patches of three blocks before (section 2.3).

Expected: ImageNet-1K, 1600 epochs, fine-tuned top-1 85.5 (base), 87.3 (large).

Deviations from the official code: ids are of the crop that was stored, one of a few of each picture, where the code computes
them of a fresh one; no jitter of colours; the mask token and the relative positions are not decayed; the warm-up starts from
zero; attention has a bias of the keys, which softmax cancels. Settings are those for 300 epochs; for 1600 give
`--set training.epochs=1600 --set training.betas=0.9,0.999 --set model.drop_path=0.1`.

It reads `maskloom targets DATASET --teacher tokens` of any tokenizer with as many ids as `targets.tokens.vocabulary` and
`targets.summary.vocabulary` say; the paper's quantises what CLIP sees.
"""

from pipelines.masking.block import BlockPatches
from pipelines.modalities import Image
from trainers.models.class_bottleneck import ClassBottleneck
from trainers.objectives import cross_entropy
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size, first_gain
from trainers.targets.tokens import TokenTarget
from trainers.terms import Term
from trainers.views import CropAndFlip

VOCABULARY = 8192


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    return Recipe(
        name="beit_v2",
        paper="arXiv:2208.06366",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": BlockPatches(ratio=75 / 196, smallest=0.214, aspect=(0.3, 1 / 0.3))},
        targets=(TokenTarget(vocabulary=VOCABULARY), TokenTarget(vocabulary=VOCABULARY, name="summary")),
        model=ClassBottleneck(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            layer_scale=first_gain(size),
            drop_path=0.0,
            late=3,
            head_depth=2,
            direct="tokens",
            through_class="summary",
        ),
        objective=(Term(target="tokens", loss=cross_entropy), Term(target="summary", loss=cross_entropy)),
        training=Training(
            batch=2048,
            epochs=300,
            warmup_epochs=10,
            base_lr=1.5e-3 / 8,
            min_lr=1.25e-6,
            betas=(0.9, 0.98),
            weight_decay=0.05,
            clip_norm=3.0,
        ),
    )
