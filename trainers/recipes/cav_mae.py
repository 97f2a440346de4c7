"""CAV-MAE: predict three quarters of a sound and of a frame from the rest of both, and tell which frame belongs to which sound.

Gong, Rouditchenko, Liu, Harwath, Karlinsky, Kuehne, Glass: Contrastive Audio-Visual Masked Autoencoder, 2022,
arXiv:2210.07839, section 3; official code YuanGongND/cav-mae. Eleven blocks for each modality, one for both, which also
serves each alone by norms of its own; the contrast weighs 0.01, its temperature is 0.05.

Expected: base, AudioSet-20K 42.0 mAP, AudioSet-2M 51.2, VGGSound 65.5 (fine-tuned, both modalities).

Deviations from the official code: AdamW, no weight decay on vectors and tokens, and half a cosine after a warm-up of one
epoch instead of Adam with a halving every 5 epochs; the contrast looks among the samples of all processes, where the code
has those of each GPU and sums their losses; the joint blocks are chained where there are several, where the code keeps
the last (the paper has one); the number of visible patches is exact; silence is the least value features can have, not a
zero; sounds get no noise and are not rolled; the frame is cropped at random, where the code takes the centre. The encoder
starts from random weights: `maskloom import` takes the official ones. Only base is the paper's size.
"""

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Clip, LogMel
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder
from trainers.nn.blocks import BlockStyle
from trainers.nn.joint_decoders import JointDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import decoder_size, encoder_size
from trainers.targets.patches import NormalisedPatches
from trainers.terms import Contrast, Term
from trainers.views import CropAndFlip, FrameAndSound


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 pixels, frames and bins at all of them."""
    encoder, decoder = encoder_size(size), decoder_size(size)
    return Recipe(
        name="cav_mae",
        paper="arXiv:2210.07839",
        modalities=(
            LogMel(frames=1024, bins=128, patch=16, mean=-5.081, spread=4.4849),
            Clip(size=112 if size == "tiny" else 224, patch=16, frames=1, tubelet=1),
        ),
        views=FrameAndSound(crop=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.0)),
        masking={"logmel": AsIfFull(masking=RandomPatches(ratio=0.75)), "video": RandomPatches(ratio=0.75)},
        targets=(
            NormalisedPatches(name="sound", modality="logmel"),
            NormalisedPatches(name="picture", modality="video"),
        ),
        model=MultimodalAutoencoder(
            width=encoder.width,
            own_depth=encoder.depth - 1,
            depth=1,
            heads=encoder.heads,
            decoder=JointDecoder(width=decoder.width, depth=decoder.depth, heads=decoder.heads, own_mask_tokens=False),
            summaries=True,
            row_first=("logmel",),
            style=BlockStyle(norm_eps=1e-5),
        ),
        objective=(
            Term(target="sound", loss=squared_error),
            Term(target="picture", loss=squared_error),
            Contrast(between=("logmel", "video"), temperature=0.05, directions="first", weight=0.01),
        ),
        training=Training(
            batch=256,
            epochs=25,
            warmup_epochs=1,
            base_lr=2e-4,
            min_lr=0.0,
            betas=(0.95, 0.999),
            weight_decay=5e-7,
            clip_norm=None,
        ),
    )
