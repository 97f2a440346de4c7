"""Write the table of GRID's training sentences, to be cut into windows for pretraining: the sentences of words_train.csv.

    python grid_windows.py OUT

OUT is the folder that grid_words.py wrote to; adds OUT/sentences_train.csv.
"""

import csv
import sys
from pathlib import Path


def main(out: Path) -> None:
    """Write one row for each video."""
    with (out / "words_train.csv").open() as file:
        videos = sorted({row["video"] for row in csv.DictReader(file)})
    with (out / "sentences_train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("video",), *((video,) for video in videos)])
    print(len(videos), "sentences")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
