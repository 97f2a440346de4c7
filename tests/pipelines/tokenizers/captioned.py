"""A small world of captions, the dataset of it, and tokenizers learned from them."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from pipelines.tokenizers.learning import Learning, learn
from pipelines.tokenizers.splitting import Kind, word_splitter
from shards.adopt import adopt
from tests.pipelines.conftest import write_shard

NUM_SAMPLES = 150

_WHO = (
    "a cat|two dogs|the skier|Eine Katze|un garçon|a man's horse|three red buses|naïve tourists|猫と犬|the café owner"
)
_DOES = "sits on|runs past|is climbing|jumps over|schläft auf|looks at|can't find|re-reads"
_WHAT = "a wooden table|the street|an old bridge (1931)|der Straße|2 pizzas|a sign: 'Stop!'|snow-covered hills|the 3rd floor 🙂"


def captions(count: int = 3 * NUM_SAMPLES) -> list[str]:
    """Return captions of a few languages, the same every time."""
    draws = random.Random(5)
    parts = [choices.split("|") for choices in (_WHO, _DOES, _WHAT)]
    return [
        " ".join(draws.choice(choices) for choices in parts) + draws.choice([".", " .", "", "!"]) for _ in range(count)
    ]


def write_captioned(root: Path) -> Path:
    """Write a dataset of samples with three captions each, in three shards, and return its folder."""
    lines = captions()
    for shard in range(3):
        numbers = range(50 * shard, 50 * shard + 50)
        texts = {f"{number:04d}.txt": "\n".join(lines[3 * number : 3 * number + 3]).encode() for number in numbers}
        labels = {f"{number:04d}.cls": str(number % 7).encode() for number in numbers}
        write_shard(root / f"{shard:06d}.tar", dict(sorted((texts | labels).items())))
    adopt(root)
    return root


def learned(texts: Sequence[str], learning: Learning) -> bytes:
    """Return the file of what is learned from texts."""
    split = word_splitter(learning.kind, learning.is_lower_case)
    return learn(Counter(word for text in texts for word in split(text)), learning)


def learned_file(folder: Path, kind: str = "wordpiece", *, is_lower_case: bool = True) -> Path:
    """Write what is learned from all captions, and return the path."""
    learning = Learning(kind=Kind(kind), vocabulary=420, sentinels=10, is_lower_case=is_lower_case)
    path = folder / f"{kind}-{is_lower_case}.json"
    path.write_bytes(learned(captions(), learning))
    return path


_WORDS = (
    "dog s it's 'S CAN'T . !! ( # ½ é É ß İ ﬁ 猫 🙂 “ Ã© â€™ <b> </w> <end_of_text> <START_OF_TEXT> [MASK] ##s Ġ _ - @"
)
_ENTITIES = "&amp; &amp;lt; &#39; &notit;"
_ODD = (
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "e\u0301",
    "\u017f",
    "\u200b",
    "\xa0",
    "\x85",
    "\x1b[31m",
    "\ufeff",
    "\u2019",
    "[ pad ]",
)
_PIECES = (*_WORDS.split(), *_ENTITIES.split(), *_ODD)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.lists(st.sampled_from(_PIECES)).map("".join),
    st.sampled_from(captions(60)).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda end: text[end:] + text[:end])
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
)
"""Any texts, and those on which tokenizers differ: entities, wrong encodings, marks, accents, odd spaces, cut captions."""
