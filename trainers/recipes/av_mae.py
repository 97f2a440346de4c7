"""AV-MAE: predict 90 % of a clip and 70 % of its sound from the rest of both, which meet in the last two blocks (mid fusion).

Georgescu, Fonseca, Ionescu, Lucic, Schmid, Arnab: Audiovisual Masked Autoencoders, ICCV 2023, arXiv:2212.05922, section 3;
official code google-research/scenic, projects/av_mae, configuration of AudioSet. 16 frames in cubes of 2 frames by 16 x 16
pixels, ten seconds of sound in patches of 16 x 16; each has all but two blocks of its own. Pixels and features are predicted
as the network sees them, not normalised by patch; both losses weigh 0.5.

Expected: large, AudioSet, fine-tuned 51.8 mAP with both, 46.6 with sound, 31.1 with the clip (the code's README).

Deviations from the official code: one decoder sees the tokens of both, where the code runs it on each alone (its
`concat_and_decode` is ours) behind a bridge for each; there is no norm between own and joint blocks; positions of sound are
those of its times and bands, where the code numbers the patches; pixels are standardised as ImageNet's, where the code scales
them to -1 to 1, and sound is standardised too; frames are one of each sixteenth of the stored clip, beside all of its sound,
where the code takes 16 frames 4 apart; 1024 columns of features, where the code has 1000; the number of visible places is
exact; heads start Xavier-uniform, where the code's start at 0, and mask tokens with a deviation of 0.02; vectors and tokens
are not decayed. Crops are a guess. The code has decoders for base and large alone; those of other sizes are ours, as are
tiny's frames of 112 pixels. Its configuration of VGGSound hides 50 % of the sound and has no joint blocks, 400 epochs and half
the rate. The paper's text was not compared with the code, nor any of this with published weights.
"""

from pipelines.masking.as_if_full import AsIfFull
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Clip, LogMel
from trainers.models.multimodal_autoencoder import MultimodalAutoencoder
from trainers.nn.joint_decoders import JointDecoder
from trainers.objectives import squared_error
from trainers.recipe import Recipe, Training
from trainers.sizes import encoder_size
from trainers.targets.patches import PixelPatches
from trainers.terms import Term
from trainers.views import CropAndFlip, FrameAndSound

JOINT_DEPTH = 2


def recipe(size: str = "base") -> Recipe:
    """Return the recipe of the paper at one of the usual sizes; patches have 16 pixels, frames and bins at all of them."""
    encoder = encoder_size(size)
    width = min(512, encoder.width // 2)
    return Recipe(
        name="av_mae",
        paper="arXiv:2212.05922",
        modalities=(
            LogMel(frames=1024, bins=128, patch=16),
            Clip(size=112 if size == "tiny" else 224, patch=16, frames=16, tubelet=2),
        ),
        views=FrameAndSound(crop=CropAndFlip(scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip_probability=0.5)),
        masking={"logmel": AsIfFull(masking=RandomPatches(ratio=0.7)), "video": RandomPatches(ratio=0.9)},
        targets=(PixelPatches(name="sound", modality="logmel"), PixelPatches(name="frames", modality="video")),
        model=MultimodalAutoencoder(
            width=encoder.width,
            own_depth=encoder.depth - JOINT_DEPTH,
            depth=JOINT_DEPTH,
            heads=encoder.heads,
            decoder=JointDecoder(
                width=width, depth=4, heads=max(3, width // 64), own_mask_tokens=True, with_kind=False
            ),
            with_kind=False,
        ),
        objective=(
            Term(target="sound", loss=squared_error, weight=0.5),
            Term(target="frames", loss=squared_error, weight=0.5),
        ),
        training=Training(
            batch=512,
            epochs=120,
            warmup_epochs=4,
            base_lr=3e-4,
            min_lr=0.0,
            betas=(0.9, 0.95),
            weight_decay=0.05,
            clip_norm=None,
        ),
    )
