"""Separate masking: every modality is masked by a masking of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.masking.plan import JointMasking, MaskContext, Masking, MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError, did_you_mean

Maskings = Mapping[str, Masking] | JointMasking
"""The masking of each modality by its name, or one for several together."""


@dataclass(frozen=True, kw_only=True)
class Separate:
    """Mask every modality by the one of `maskings` that has its name."""

    maskings: Mapping[str, Masking]

    def plan_jointly(self, context: MaskContext, *, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
        """Return the plans by the name of the modality; every draw comes from `context.draws`.

        Raises:
            SettingsError: A modality has no masking, or a masking no modality.
        """
        names = [modality.name for modality in modalities]
        require_same_names(self.maskings, names)
        return {modality.name: self.maskings[modality.name].plan(context, modality=modality) for modality in modalities}


def plans_of(masking: Maskings, context: MaskContext, modalities: Sequence[Modality]) -> dict[str, MaskPlan]:
    """Return the plans of the samples of a batch by the name of the modality; one without a masking gets none.

    Raises:
        SettingsError: There is a masking of something that is none of `modalities`, or it does not fit what it masks.
        MissingTargetError: A masking reads a stored target that `context` does not hold.
    """
    if isinstance(masking, JointMasking):
        return masking.plan_jointly(context, modalities=modalities)
    masked = [modality for modality in modalities if modality.name in masking]
    return Separate(maskings=masking).plan_jointly(context, modalities=masked)


def require_same_names(maskings: Mapping[str, object], names: Sequence[str]) -> None:
    """Raise SettingsError unless there is a masking for each of `names`, and no other."""
    for name in maskings:
        if name not in names:
            raise SettingsError(
                f"A masking of '{name}' was given, but the modalities are {', '.join(names)}.{did_you_mean(name, names)}"
            )
    for name in names:
        if name not in maskings:
            raise SettingsError(
                f"There is no masking for the modality '{name}', only for {', '.join(maskings) or 'none'}; give it one."
            )
