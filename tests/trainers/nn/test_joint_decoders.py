import torch

from pipelines.masking.plan import MaskPlan
from trainers.nn.joint_decoders import neither_seen_nor_asked


def test_places_behind_the_end_of_a_text_are_neither_seen_nor_asked_for_whatever_is_asked_for_twice() -> None:
    """Six words, of which two are seen and asked for, are eight places, but not the eight that there are."""
    six = torch.arange(6)[None]
    plan = MaskPlan(visible=six, target=six[:, :2], visible_ids=six, target_ids=six[:, :2])
    none = neither_seen_nor_asked(plan, length=8)
    assert none is not None
    assert none.tolist() == [[False] * 6 + [True] * 2]


def test_where_all_places_are_seen_or_asked_for_none_is_left() -> None:
    places = torch.arange(8)[None]
    assert neither_seen_nor_asked(MaskPlan(visible=places[:, :3], target=places[:, 3:]), length=8) is None
