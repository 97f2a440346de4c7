"""4M: see a few tokens of any of the modalities of a sample, and say which ids stand at a few other places of any.

Mizrahi, Bachmann, Kar, Yeo, Gao, Dehghan, Zamir: 4M: Massively Multimodal Masked Modeling, 2023, arXiv:2312.06647, section 2;
Bachmann et al., arXiv:2406.09406; official code apple/ml-4m. Half of the samples show the picture alone, others any mixture;
ids of pictures are predicted at once, words one by one. More modalities are lines like those of `tokens`, and alphas.

Expected: figures are in table 1 of the paper; they were not checked and are not restated.

Deviations from the official code: three modalities of eight. Captions are bytes, where it has 30,000 pieces of words; with any
other tokenizer give `masking.sentinels.first` and `.count` too. What a modality cannot use of a budget others get; how much of
a text is hidden, and in which spans, follows from that (`TokenBudgets`). A modality that no sample of a batch has counts as 0
in the mean over modalities, as there. Vectors of ids that the encoder reads and those of modalities are not decayed; those that
the decoder scores by are, as there. Epochs are those of the data, where it counts ten million samples as one; crops and
mirroring are not checked. Tiny and small are narrower than any published, huge is none of its sizes. Nothing is generated.

It reads `maskloom targets DATASET --teacher tokens --set tokenizer=RUN`, where RUN has learned `vq_image`, for its views.
"""

from pipelines.masking.budget import Alpha, Shares, TokenBudgets
from pipelines.masking.spans import Sentinels
from pipelines.modalities import Image, Text, Tokens
from pipelines.tokenizers.byte import ByteTokenizer
from trainers.models.token_transformer import TokenTransformer
from trainers.nn.blocks import BlockStyle
from trainers.objectives import cross_entropy, cross_entropy_after_first
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.texts import TextIds
from trainers.targets.tokens import ShownTokens
from trainers.terms import Term
from trainers.views import CropAndFlip

SIDE, BUDGET, DEPTH = {"tiny": 112}, {"tiny": 32}, {"tiny": 6, "small": 8}
WRITTEN = ("tokens", "text")


def recipe(size: str = "base") -> Recipe:
    """Return the recipe at one of the usual sizes; patches have 16 pixels at all of them."""
    encoder, side, budget = encoder_size(size), SIDE.get(size, 224), BUDGET.get(size, 128)
    words = ByteTokenizer()
    from_picture = (Alpha(name="image", inputs=1000.0), *(Alpha(name=name, targets=0.5) for name in WRITTEN))
    from_any = (Alpha(name="image", inputs=0.5), *(Alpha(name=name, inputs=0.5, targets=0.5) for name in WRITTEN))
    return Recipe(
        name="four_m",
        paper="arXiv:2312.06647",
        modalities=(
            Image(size=side, patch=16),
            Tokens(stored="tokens", grid=(side // 16, side // 16), vocabulary=8192),
            Text(length=256, tokenizer=words),
        ),
        views=CropAndFlip(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.0),
        masking=TokenBudgets(
            inputs=budget,
            targets=budget,
            mixture=(Shares(name="from picture", alphas=from_picture), Shares(name="from any", alphas=from_any)),
            sentinels=Sentinels(first=words.sentinel_ids[0], count=len(words.sentinel_ids)),
        ),
        targets=(ShownTokens(name="tokens", modality="tokens"), TextIds()),
        model=TokenTransformer(
            width=encoder.width,
            depth=DEPTH.get(size, encoder.depth),
            heads=encoder.heads,
            decoder_depth=DEPTH.get(size, encoder.depth),
            style=BlockStyle(biases="nowhere", perceptron="gated"),
        ),
        objective=(
            Term(target="tokens", loss=cross_entropy, weight=1 / 2),
            Term(target="text", loss=cross_entropy_after_first, weight=1 / 2),
        ),
        training=Training(
            batch=8192,
            epochs=196,
            warmup_epochs=4,
            base_lr=1e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
