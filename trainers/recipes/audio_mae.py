"""AudioMAE: predict the normalised log-mel values of the 80 % of a spectrogram's patches that the encoder never saw.

Huang, Xu, Li, Baevski, Auli, Galuba, Metze, Feichtenhofer: Masked Autoencoders that Listen, 2022, arXiv:2207.06405, sections
3 and 4; official code facebookresearch/AudioMAE. Ten seconds of sound as 1024 x 128 values, patches of 16 x 16. The decoder is
the published default (mode 1): sixteen blocks of attention within windows of 4 x 4 tokens, half of them moved by two times; it
does without the class token. `audio_mae_global` has the other one.

Expected: base, fine-tuned mAP 47.3 on AudioSet-2M and 37.0 on AudioSet-20K.

Deviations from the official code: positions are those of the grid of 64 times by 8 bands, where the code lays tokens out so
but takes the positions of 8 by 64; what is missing of a short sound is the least value features can have, where the code puts
a zero, which is louder than most sounds; queries and keys shorter than 1e-6 are divided by that, where the code bounds the
product of their lengths; the number of visible patches is exact, where the code truncates a float product; class and mask
tokens are not decayed; float32 or bfloat16 for float16. The code's roll of the sound in time shifts it by nothing, and is left
out. Sizes tiny and huge are not the paper's; tiny and small come with a decoder of 8 narrower blocks. Weights that it published
were learned with its positions: `maskloom import` takes them with `--set model.positions=transposed`. Windows of 4 x 4 tokens
have to tile the grid: frames and bins that 64 divides, or fewer than that.
"""

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.random import RandomPatches
from pipelines.modalities import LogMel
from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.window_decoder import WindowDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.patches import NormalisedPatches
from trainers.terms import Term
from trainers.views import AsStored


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 frames and bins at all of them."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="audio_mae",
        paper="arXiv:2207.06405",
        modalities=(LogMel(frames=1024, bins=128, patch=16),),
        views=AsStored(),
        masking={"logmel": AsIfFull(masking=RandomPatches(ratio=0.8))},
        targets=(NormalisedPatches(modality="logmel"),),
        model=MaskedAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=WindowDecoder(
                width=decoder.width, depth=2 * decoder.depth, heads=decoder.heads, window=(4, 4), shift=(2, 0)
            ),
        ),
        objective=(Term(target="patches", loss=squared_error),),
        training=Training(
            batch=512,
            epochs=33,
            warmup_epochs=3,
            base_lr=2e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=1e-4,
            clip_norm=None,
        ),
    )
