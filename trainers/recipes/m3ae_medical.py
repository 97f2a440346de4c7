"""Medical M3AE: predict 75 % of a picture beside its caption, 15 % of the caption beside the picture, and which two are a pair.

Chen, Du, Hu, Liu, Li, Wan, Chang: Multi-modal Masked Autoencoders for Medical Vision-and-Language Pre-training, MICCAI 2022,
arXiv:2209.07098, section 2; official code zhjohnchan/M3AE. An encoder for each, then six blocks of co-attention; the pixels
are decoded after three of these, words after all. Pairs are told from both class tokens, nothing masked.

The caption is read byte by byte, which needs no file. For words, make a tokenizer (`maskloom tokenizer DATASET --kind
wordpiece --out FILE`) or take RoBERTa's tokenizer.json: `--set modalities.text.tokenizer=FILE --set modalities.text.length=64`,
and say what is in it, `--set masking.text.mask_id=N --set masking.text.vocabulary=N --set masking.text.special=N,N`: its
`mask_id`, its `vocabulary`, its `begin_id` and `end_id`.

Expected: figures are in the paper's tables, for encoders that start from CLIP and RoBERTa; they were not checked.

Deviations from the official code: everything starts from random weights, and all learns at the rate the code has for what is
new, five times that of its encoders; half a cosine for a line; no dropout; text encoder and fusion have norms in front of
their branches, where the code has them behind, and neither layers nor type vectors stand between; each modality has a learned
class token, where the text's is its first word; positions are fixed, not learned; bytes (or words) are masked one by one,
where the code masks whole words; each sample is scored as it is and beside the picture of the one before it, by one logit,
where the code gives half of a batch any other picture. Ten epochs, where the code stops at 100,000 steps too. Pictures are
cropped at random, where the code takes the centre; captions are cut after 256 bytes. Only base is the paper's size. The paper's
text was not compared with the code, nor any of this with published weights.
"""

from pipelines.masking.language import MaskedLanguage
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Image, Text
from pipelines.tokenizers.byte import ByteTokenizer
from trainers.models.co_attention import CoAttention
from trainers.nn.joint_decoders import JointDecoder
from trainers.objectives import cross_entropy, squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.patches import NormalisedPatches
from trainers.targets.texts import TextIds
from trainers.terms import Matching, Term
from trainers.views import CropAndFlip


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder, letters = encoder_size(size), ByteTokenizer()
    marks, known = (letters.begin_id, letters.end_id), letters.vocabulary
    return Recipe(
        name="m3ae_medical",
        paper="arXiv:2209.07098",
        modalities=(Image(size=144 if size == "tiny" else 288, patch=16), Text(length=256, tokenizer=letters)),
        views=CropAndFlip(scale=(0.8, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.0),
        masking={
            "image": RandomPatches(ratio=0.75),
            "text": MaskedLanguage(mask_id=letters.mask_id, vocabulary=known, special=marks),
        },
        targets=(NormalisedPatches(), TextIds()),
        model=CoAttention(
            width=encoder.width,
            depth=encoder.depth,
            heads=encoder.heads,
            decoder=JointDecoder(
                width=encoder.width // 2,
                depth=5,
                heads=max(2, encoder.heads // 2),
                own_mask_tokens=False,
                with_kind=False,
            ),
        ),
        objective=(
            Term(target="patches", loss=squared_error),
            Term(target="text", loss=cross_entropy),
            Matching(between=("image", "text")),
        ),
        training=Training(
            batch=256,
            epochs=10,
            warmup_epochs=1,
            base_lr=5e-5,
            min_lr=0.0,
            betas=(0.9, 0.98),
            weight_decay=0.01,
            clip_norm=None,
        ),
    )
