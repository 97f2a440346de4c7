"""MW-MAE: predict hidden log-mel values by a decoder whose heads of attention have windows of different sizes.

Yadav, Theodoridis, Hansen, Tan: Masked Autoencoders with Multi-Window Local-Global Attention Are Better Audio Learners, 2023,
arXiv:2306.00561; official code SarthakYadav/mwmae-jax-official, `configs/pretraining/mwmae_base_200_4x16_precomputed.py`. Two
seconds of sound, 80 % of 250 patches hidden, no class token. Four decoder blocks of 8 heads: six heads see windows of 2, 5, 10,
25, 50 and 125 tokens along the sequence, two see all tokens.

Expected: the paper compares overall scores on ten tasks of HEAR; its figures are not restated, as they could not be checked.

Deviations from the official code, read at commits 43f0fac and 29297d3: patches are 8 x 8, where it has 4 times by 16 bands: as
many patches of as many values, but 25 x 10 of them for 50 x 5, and windows run over other neighbours. Features are those of
Kaldi, as `maskloom ingest --set audio.mel_bins=80` makes them, without AudioSet's mean and divided by its deviation; the code's
are of another implementation, and each recording is normalised by itself. GELU is exact for an approximation by tanh. Linear
weights of bridge and heads start Xavier-uniform for LeCun's normal, biases of offsets from a normal distribution that is not
cut. Weights of linear layers alone are decayed, where the code decays all parameters. What is missing of a short sound is the
least value features can have. For other numbers of tokens windows are divisors, chosen evenly: ours. Sizes tiny and small come
with a narrower decoder. float32 or bfloat16 with float32 weights. Not checked: the text of the paper, from which the learning
rate of the code (1.5e-5) may differ; which published figures belong to this configuration. No numbers were reproduced.
"""

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.random import RandomPatches
from pipelines.modalities import LogMel
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.multi_window_decoder import MultiWindowDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.patches import PixelPatches
from trainers.terms import Term
from trainers.views import SoundSpan


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 8 frames and bins at all of them."""
    encoder = encoder_size(size)
    decoder_width = {"tiny": 128, "small": 192}.get(size, 384)
    return Recipe(
        name="mw_mae",
        paper="arXiv:2306.00561",
        modalities=(LogMel(frames=200, bins=80, patch=8, spread=4.5689974),),
        views=SoundSpan(seconds=2.0),
        masking={"logmel": AsIfFull(masking=RandomPatches(ratio=0.8))},
        targets=(PixelPatches(modality="logmel"),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=MultiWindowDecoder(width=decoder_width, depth=4, heads=8, global_heads=2),
            class_token=False,
        ),
        objective=(Term(target="pixels", loss=squared_error),),
        training=Training(
            batch=1024,
            epochs=100,
            warmup_epochs=10,
            base_lr=1.5e-5,
            min_lr=0.0,
            betas=(0.9, 0.999),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
