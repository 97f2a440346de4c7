"""Captions: which tokens were hidden, and the best guesses at them."""

from dataclasses import replace

import torch

from pipelines.masking.language import MaskedLanguage
from pipelines.masking.random import RandomPatches
from pipelines.masking.spans import Sentinels, SentinelSpans
from pipelines.modalities import Text
from pipelines.tokenizers.byte import ByteTokenizer
from tests.trainers.evaluate.drawing.making import partial_plan, perfect
from trainers.evaluate.drawing.captions import BEST, draw_guesses
from trainers.targets.texts import TextIds

TOKENIZER = ByteTokenizer(sentinels=4)
TEXT = Text(length=16, tokenizer=TOKENIZER)
CAPTIONS = ("a dog runs", "two birds", "a café")
ENCODED = [TOKENIZER.encode(text) for text in CAPTIONS]
IDS = torch.tensor([[*ids, *[0] * 16][:16] for ids in ENCODED])
LENGTHS = {"text": torch.tensor([len(ids) for ids in ENCODED])}


def test_guesses_of_a_perfect_prediction_name_the_hidden_words() -> None:
    prediction = perfect(TextIds(), TEXT, IDS, lengths=LENGTHS)
    found = draw_guesses(prediction)
    assert [caption.key for caption in found.captions] == ["a", "b", "c"]
    for caption, ids, hidden in zip(found.captions, ENCODED, prediction.hidden.tolist(), strict=True):
        names = TOKENIZER.names(ids)
        assert [word.word for word in caption.words] == names
        assert [word.role == "hidden" for word in caption.words] == hidden[: len(ids)]
        assert [told.word for told in caption.hidden] == [n for n, gone in zip(names, hidden, strict=False) if gone]
        for told in caption.hidden:
            assert told.word == names[told.place] == told.guesses[0].word
            assert told.read is None
            assert len(told.guesses) == BEST
            assert told.guesses[0].probability > 0.99


def test_probabilities_are_those_of_the_softmax_and_fall() -> None:
    prediction = perfect(TextIds(), TEXT, IDS, lengths=LENGTHS)
    values = torch.randn(prediction.values.shape, generator=torch.Generator().manual_seed(0))
    found = draw_guesses(replace(prediction, values=values))
    place = prediction.plan.target[0].tolist().index(found.captions[0].hidden[0].place)
    expected = values[0, place].softmax(dim=-1).sort(descending=True)
    told = found.captions[0].hidden[0].guesses
    assert [guess.word for guess in told] == TOKENIZER.names(expected.indices[:BEST].tolist())
    assert torch.allclose(torch.tensor([guess.probability for guess in told]), expected.values[:BEST])


def test_what_the_network_read_in_place_of_a_word_is_told() -> None:
    masking = MaskedLanguage(mask_id=3, vocabulary=TOKENIZER.vocabulary, ratio=0.9, swapped=0.0, kept=0.0)
    found = draw_guesses(perfect(TextIds(), TEXT, IDS, masking=masking, lengths=LENGTHS))
    told = [hidden for caption in found.captions for hidden in caption.hidden]
    assert len(told) > 20
    assert {hidden.read for hidden in told} == {"[MASK]"}


def test_spans_are_told_behind_their_sentinels() -> None:
    masking = SentinelSpans(sentinels=Sentinels(first=TOKENIZER.sentinel_ids[0], count=4), ratio=0.4)
    prediction = perfect(TextIds(), TEXT, IDS, masking=masking, lengths=LENGTHS)
    assert prediction.plan.target_ids is not None
    for row, caption in enumerate(draw_guesses(prediction).captions):
        written = [told.word for told in caption.hidden]
        padding = prediction.plan.target_padding
        count = 16 if padding is None else int((~padding[row]).sum())
        assert written == TOKENIZER.names(prediction.plan.target_ids[row][:count].tolist())
        assert written[0] == "[S_0]" == caption.hidden[0].read
        assert [told.guesses[0].word for told in caption.hidden] == written


def test_padding_is_neither_shown_nor_guessed_at() -> None:
    prediction = perfect(TextIds(), TEXT, IDS, masking=RandomPatches(ratio=0.9))
    found = draw_guesses(replace(prediction, batch=replace(prediction.batch, lengths=LENGTHS)))
    words = [word.word for caption in found.captions for word in caption.words]
    told = [hidden.word for caption in found.captions for hidden in caption.hidden]
    assert "[PAD]" not in words + told
    assert len(words) == sum(map(len, ENCODED))


def test_tokens_that_were_neither_seen_nor_predicted_are_told_apart() -> None:
    prediction = perfect(TextIds(), TEXT, IDS, plan=partial_plan(16))
    roles = [[word.role for word in caption.words] for caption in draw_guesses(prediction).captions]
    assert [[row.count(role) for role in ("seen", "hidden", "left out")] for row in roles] == [
        [2, 3, 11],
        [2, 3, 11],
        [2, 1, 13],
    ]
