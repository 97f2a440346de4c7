import torch

from pipelines.modalities import Image
from tests.batches import make_batch
from trainers.targets.tokens import TokenTarget

IMAGE = Image(size=32, patch=16)


def test_ids_are_read_one_for_each_token_and_stay_whole_numbers() -> None:
    stored = torch.tensor([[3, 0, 15, 7]])
    target = TokenTarget(vocabulary=16)
    batch = make_batch(("a",), {"image": torch.zeros(1, 3, 32, 32)}, stored={"tokens": stored})
    wanted = target.build(IMAGE)(batch)
    assert wanted.dtype is torch.int64
    assert wanted.tolist() == [[[3], [0], [15], [7]]]


def test_every_id_gets_a_logit() -> None:
    target = TokenTarget(vocabulary=16)
    assert target.dim(IMAGE) == 16
    assert target.stored_shape(IMAGE) == (4,)
