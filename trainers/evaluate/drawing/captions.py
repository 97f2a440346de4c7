"""Masked captions: which tokens were hidden, and what the network thinks stood there."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from pipelines.masking.plan import MaskPlan
from trainers.evaluate.drawing.prediction import Caption, Guess, Guesses, HiddenWord, Prediction, Word

BEST = 5
"""Guesses at each place."""

NOTE = (
    "For each hidden token of a caption: what belongs there, what the network read in its place, and its five best guesses "
    "with their probabilities."
)


def draw_guesses(prediction: Prediction) -> Guesses:
    """Tell the best guesses at all hidden tokens of captions, in the order of the text; padding is left out."""
    captions = tuple(
        Caption(key=key, words=tuple(_words(prediction, row)), hidden=tuple(_hidden_words(prediction, row)))
        for row, key in enumerate(prediction.batch.keys)
    )
    return Guesses(captions=captions, note=NOTE)


def _length(prediction: Prediction, row: int) -> int:
    """Return how many tokens a text really has."""
    lengths = prediction.batch.lengths.get(prediction.modality.name)
    return int(prediction.modality.num_tokens if lengths is None else lengths[row])


def _words(prediction: Prediction, row: int) -> Iterator[Word]:
    """Yield every token of a text."""
    ids = prediction.inputs[row, : _length(prediction, row)].tolist()
    names = prediction.modality.tokenizer.names(ids)
    for name, seen, hidden in zip(names, prediction.seen[row].tolist(), prediction.hidden[row].tolist(), strict=False):
        yield Word(word=name, role="hidden" if hidden else "seen" if seen else "left out")


def _hidden_words(prediction: Prediction, row: int) -> Iterator[HiddenWord]:
    """Yield what was predicted of a text; sentinels and the tokens behind them keep their order."""
    tokenizer, length = prediction.modality.tokenizer, _length(prediction, row)
    read = dict(_tokens(prediction.plan, prediction.inputs, row, "visible"))
    wanted = list(_tokens(prediction.plan, prediction.inputs, row, "target"))
    best = prediction.values[row].softmax(dim=-1).topk(min(BEST, prediction.values.shape[-1]), dim=-1)
    for column, (place, number) in sorted(enumerate(wanted), key=lambda numbered: numbered[1][0]):
        if place >= length:
            continue
        names = tokenizer.names([number, *best.indices[column].tolist()])
        probabilities = best.values[column].tolist()
        yield HiddenWord(
            place=place,
            word=names[0],
            read=tokenizer.names([read[place]])[0] if place in read else None,
            guesses=tuple(Guess(word=name, probability=p) for name, p in zip(names[1:], probabilities, strict=True)),
        )


def _tokens(plan: MaskPlan, ids: Tensor, row: int, which: Literal["visible", "target"]) -> Iterator[tuple[int, int]]:
    """Yield the places that a plan names and the ids that it puts there, or that stand there; padding comes last."""
    index, padding = getattr(plan, which)[row], getattr(plan, f"{which}_padding")
    written = getattr(plan, f"{which}_ids")
    numbers = ids[row][index] if written is None else written[row]
    count = len(index) if padding is None else int((~padding[row]).sum())
    yield from zip(index[:count].tolist(), numbers[:count].tolist(), strict=True)
