"""Separate masking: every modality is masked by a masking of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.masking.plan import MaskContext, Masking, MaskPlan
from pipelines.modalities import Modality
from shards.errors import SettingsError, did_you_mean


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
