"""AudioMAE, global decoder: predict the normalised log-mel values of the 80 % of a spectrogram's patches that were hidden.

Huang, Xu, Li, Baevski, Auli, Galuba, Metze, Feichtenhofer: Masked Autoencoders that Listen, 2022, arXiv:2207.06405, sections
3 and 4; official code facebookresearch/AudioMAE, decoder mode 0: eight blocks in which all tokens see each other, the class
token too. `audio_mae` is the published default, with local windows.

Expected: no figure is restated of this decoder; with local windows base reached, fine-tuned, mAP 47.3 on AudioSet-2M and 37.0
on AudioSet-20K.

Deviations from the official code: positions are those of the grid of 64 times by 8 bands, where the code lays tokens out so
but takes the positions of 8 by 64; what is missing of a short sound is the least value features can have, where the code puts
a zero, which is louder than most sounds; the number of visible patches is exact, where the code truncates a float product;
class and mask tokens are not decayed; float32 or bfloat16 for float16. The code's roll of the sound in time shifts it by
nothing, and is left out. Sizes tiny and huge are not the paper's; tiny and small come with a decoder of 4 blocks. Weights that
it published were learned with its positions: `maskloom import` takes them with `--set model.positions=transposed`.
"""

from dataclasses import replace

from trainers.models.masked_autoencoder import MaskedAutoencoder
from trainers.nn.decoders import GlobalDecoder
from trainers.recipe import Recipe
from trainers.recipes import audio_mae
from trainers.sizes import decoder_size


def recipe(size: str = "base") -> Recipe:
    """Return `audio_mae` at one of the usual sizes, with the other decoder."""
    windowed, decoder = audio_mae.recipe(size), decoder_size(size)
    assert isinstance(windowed.model, MaskedAutoencoder)
    design = GlobalDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads)
    return replace(windowed, name="audio_mae_global", model=replace(windowed.model, decoder=design))
