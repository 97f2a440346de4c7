"""Ids of captions as what is predicted."""

from dataclasses import replace

import torch

from pipelines.masking.language import MaskedLanguage
from pipelines.masking.random import RandomPatches
from pipelines.modalities import Text
from pipelines.tokenizers.byte import ByteTokenizer
from tests.batches import context_of, make_batch
from trainers.objectives import cross_entropy
from trainers.recipe import Recipe, Target
from trainers.registry import resolve_recipe
from trainers.targets.texts import TextIds
from trainers.terms import Term

TOKENIZER = ByteTokenizer(sentinels=0)
TEXT = Text(length=12, tokenizer=TOKENIZER)
IDS = torch.tensor([[*TOKENIZER.encode(text), *[0] * 12][:12] for text in ("a dog", "two birds")])


def recipe_of(masking: RandomPatches | MaskedLanguage) -> Recipe:
    """A recipe of captions alone, whose model is never built."""
    return replace(
        resolve_recipe("mae", size="tiny"),
        modalities=(TEXT,),
        masking={"text": masking},
        targets=(TextIds(),),
        objective=(Term(target="text", loss=cross_entropy),),
    )


def test_ids_are_wanted_at_the_hidden_places_and_padding_counts_for_nothing() -> None:
    masking = RandomPatches(ratio=0.5)
    context = replace(context_of(("a", "b")), inputs={"text": IDS}, lengths={"text": torch.tensor([7, 11])})
    plan = masking.plan(context, modality=TEXT)
    goals = recipe_of(masking).goals({})(make_batch(("a", "b"), {"text": IDS}, plans={"text": plan}))
    assert goals.wanted["text"].dtype == torch.int64
    assert torch.equal(goals.wanted["text"][..., 0], IDS.gather(1, plan.target))
    assert plan.target_padding is not None
    assert torch.equal(goals.padding["text"], plan.target_padding)
    real = goals.wanted["text"][..., 0][~goals.padding["text"]]
    assert (real != TOKENIZER.padding_id).all()


def test_each_id_of_the_tokenizer_has_a_logit_and_a_perfect_guess_costs_nothing() -> None:
    assert isinstance(TextIds(), Target)
    assert TextIds().dim(TEXT) == TOKENIZER.vocabulary == 260
    wanted = TextIds().build(TEXT)(make_batch(("a", "b"), {"text": IDS}))
    logits = torch.nn.functional.one_hot(wanted[..., 0], 260).float() * 100
    assert cross_entropy(logits, wanted).total.max() < 1e-6
    assert cross_entropy(-logits, wanted).total.min() > 10
