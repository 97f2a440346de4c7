"""VQ feature tokens: the features that a teacher has of patches become ids, as 4M reads and writes them.

Bachmann, Kar, Mizrahi, Garjani, Gao, Griffiths, Hu, Dehghan, Zamir: 4M-21: An Any-to-Any Vision Model for Tens of Tasks and
Modalities, 2024, arXiv:2406.09406, section 2; official code apple/ml-4m, `cfgs/default/tokenization/vqvae/CLIP-B16`. The input
are stored features; encoder and decoder are vision transformers over their grid.

Expected: no figure of reconstruction is restated here; `maskloom eval` tells codebook use and mean cosine of a run.

Deviations from the official code: one minus the cosine, where it has smooth L1 of features of a known scale, so lengths are
not kept; features are normalised one by one before they are embedded; one linear layer into the codebook, where it has a
perceptron; no average of weights; dead codes as in `vq_image`; decay of weights 0.05, which the configuration does not name.

It reads `maskloom targets DATASET --teacher clip`. For others say what, how wide and on which grid, as in `--set
modalities.features.stored=dino --set modalities.features.dim=384 --set modalities.features.grid=16,16`.
The tokenizer is written to RUN/tokenizer.safetensors.
"""

from pipelines.masking.everything import Everything
from pipelines.modalities import Features
from pipelines.tokenizers.vq.codebook import CosineCodebook
from trainers.models.vq_autoencoder import COMMITMENT, VqAutoencoder
from trainers.objectives import cosine_distance
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.contents import Contents
from trainers.terms import Penalty, Term
from trainers.views import AsStored


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; the decoder is as large as the encoder."""
    encoder = encoder_size(size)
    return Recipe(
        name="vq_features",
        paper="arXiv:2406.09406",
        modalities=(Features(stored="clip:output=patches", grid=(14, 14), dim=768, name="features"),),
        views=AsStored(),
        masking={"features": Everything()},
        targets=(Contents(modality="features"),),
        model=VqAutoencoder(
            gives="input",
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder_depth=encoder.depth,
            codebook=CosineCodebook(size=8192, dim=32, decay=0.99, dead_below=0.1),
        ),
        objective=(Term(target="contents", loss=cosine_distance), Penalty(name=COMMITMENT)),
        training=Training(
            batch=1024,
            epochs=20,
            warmup_epochs=5,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            clip_norm=1.0,
        ),
    )
