"""VQ-KD: ids of patches from which a small decoder can tell what CLIP says of them.

Peng, Dong, Bao, Ye, Wei: BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers, 2022, arXiv:2208.06366,
section 2.1; official code microsoft/unilm, `beit2/TOKENIZER.md`. A vision transformer reads all patches, a codebook of 8,192
directions of 32 dimensions quantises them, three blocks predict the teacher's features, the loss is one minus the cosine.

Expected: codebook use 97 % with three blocks in the decoder, 100 % with one (ImageNet-1K, 100 epochs, `beit2/TOKENIZER.md`).

Deviations from the official code: no k-means at the first batch, but codes that are hardly used are put elsewhere; a code is
the direction of the moving sum of its tokens, where the code averages directions; one linear layer into and out of the
codebook, where it has two with a tanh; absolute positions, and blocks without gains; the teacher sees the stored crops.
Learning rate and gradient clipping are those of 4M (apple/ml-4m, `cfgs/default/tokenization`): the README names none.

It reads `maskloom targets DATASET --teacher clip --set projected=true`. For another teacher name it and its width, as in
`--set targets.features.table=dino --set targets.features.width=384`. The tokenizer is written to RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Image
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.objectives import cosine_distance
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.features import FeatureTarget
from trainers.terms import Penalty, Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_kd",
        paper="arXiv:2208.06366",
        modalities=(Image(size=224, patch=encoder.patch),),
        views=CropAndFlip(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5),
        masking={"image": Everything()},
        targets=(
            FeatureTarget(
                table="clip:output=patches,projected=true",
                width=512,
                places="all",
                normalisation="none",
                suggested=("model=ViT-B-16", "pretrained=openai"),
            ),
        ),
        model=VqAutoencoder(
            gives="features",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=3,
            codebook=CosineCodebook(size=8192, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="features", loss=cosine_distance), Penalty(name=COMMITMENT)),
        training=Training(
            batch=512,
            epochs=100,
            warmup_epochs=10,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=1e-4,
            clip_norm=1.0,
        ),
    )
