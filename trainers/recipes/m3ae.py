"""M3AE: see a quarter of the patches of a picture and of the words of its caption, and predict all the others.

Geng, Liu, Lee, Schuurmans, Levine, Abbeel: Multimodal Masked Autoencoders Learn Transferable Representations, 2022,
arXiv:2205.14204, section 3; official code young-geng/m3ae_public. One encoder for both, pictures of 256 pixels, 64 words;
the loss of words weighs 0.5. Samples without a caption, and captions without a picture, are learned from too.

Expected: figures are in the paper's table 1; they were not checked and are not restated.

Deviations from the official code: every sample has a mask of its own, where the code has one for each device; padding is never
seen nor counted among the words to keep; the loss of words is the mean over samples that have words to guess, where the code
counts others as 0; layer norms, vectors and tokens are not decayed; the number of visible places is exact. Words are those of
CLIP's tokenizer, where the code has BERT's: `--set modalities.text.tokenizer=FILE` takes any, for one `maskloom tokenizer` has
learned, or BERT's tokenizer.json. Pictures are cropped at random and never mirrored; how the code augments is not checked.
"""

from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image, Text
from pipelines.tokenizers.clip import ClipTokenizer
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder
from trainers.nn.blocks import BlockStyle
from trainers.nn.joint_decoders import JointDecoder
from trainers.objectives import cross_entropy, squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.patches import PixelPatches
from trainers.targets.texts import TextIds
from trainers.terms import Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="m3ae",
        paper="arXiv:2205.14204",
        modalities=(
            Image(size=128 if size == "tiny" else 256, patch=16),
            Text(length=64, tokenizer=ClipTokenizer(longest=64)),
        ),
        views=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.0),
        masking={"image": RandomPatches(ratio=0.75), "text": RandomPatches(ratio=0.75)},
        targets=(PixelPatches(), TextIds()),
        model=MultimodalAutoencoder(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=JointDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads, own_mask_tokens=True),
            class_token=True,
            style=BlockStyle(gelu="tanh"),
        ),
        objective=(
            Term(target="pixels", loss=squared_error, mean="samples"),
            Term(target="text", loss=cross_entropy, mean="samples", weight=0.5),
        ),
        training=Training(
            batch=4096,
            epochs=100,
            warmup_epochs=5,
            base_lr=1.5e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
