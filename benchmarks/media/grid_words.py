"""Write the tables of single words of GRID (clips.jsonl with the times of the words) that `maskloom ingest` reads.

    python grid_words.py GRID OUT [--seconds 0.32]

One row for each word but the letter (25 classes of 5 to 14 are too few): its video, the same number of seconds around the
middle of the word (so that how long it is tells nothing), and the word as the label: 26 words in five places of the sentence.
Every fourth sentence by name is for testing: OUT/words_train.csv and OUT/words_test.csv, and digits_*.csv, its ten digits.
"""

import argparse
import csv
import json
from pathlib import Path

TEST_EVERY = 4
COLUMNS = ("video", "start", "end", "label", "group")


def main() -> None:
    """Write the four tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=0.32)
    arguments = parser.parse_args()
    lines = (arguments.grid / "clips.jsonl").read_text().splitlines()
    sentences = sorted((json.loads(line) for line in lines), key=lambda sentence: sentence["clip"])
    tables: dict[str, list[tuple[str, str, str, str, str]]] = {}
    for number, sentence in enumerate(sentences):
        part = "test" if number % TEST_EVERY == 0 else "train"
        for word in sentence["words"]:
            if word["w"] == sentence["letter"]:
                continue
            middle = (word["start_s"] + word["end_s"]) / 2
            start = max(0.0, middle - arguments.seconds / 2)
            row = (sentence["clip"], f"{start:.3f}", f"{start + arguments.seconds:.3f}", word["w"], sentence["clip"])
            tables.setdefault(f"words_{part}", []).append(row)
            if word["w"] == sentence["digit"]:
                tables.setdefault(f"digits_{part}", []).append(row)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with (arguments.out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        print(name, len(rows))


if __name__ == "__main__":
    main()
