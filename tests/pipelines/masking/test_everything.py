"""Nothing is hidden from an autoencoder, and all of it is asked for."""

from pipelines.masking.everything import Everything
from pipelines.modalities import Image
from tests.batches import context_of


def test_every_token_is_visible_and_predicted_in_order() -> None:
    plan = Everything().plan(context_of(("a", "b")), modality=Image(size=32, patch=16))
    assert plan.visible.tolist() == plan.target.tolist() == [[0, 1, 2, 3]] * 2
    assert plan.visible_padding is None
    assert plan.target_padding is None
