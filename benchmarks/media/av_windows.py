"""Write the table of one-second windows of a folder of videos, every fifth of each video apart for testing.

    python av_windows.py AV_CLIPS OUT

AV_CLIPS holds clips.csv with the columns file and seconds; OUT/windows.csv gets a row for each whole second of the videos that
have five or more, 40 at most of each, with the video's name as the label.
"""

import csv
import sys
from pathlib import Path

FEWEST, MOST, TEST_EVERY = 5, 40, 5


def windows_of(file: str, seconds: float) -> list[dict[str, object]]:
    """Return the rows of one video."""
    count = min(int(seconds), MOST)
    return [
        {
            "video": file,
            "start": start,
            "end": start + 1,
            "split": "test" if start % TEST_EVERY == TEST_EVERY - 1 else "train",
            "label": file,
        }
        for start in range(count if count >= FEWEST else 0)
    ]


def main(source: Path, out: Path) -> None:
    """Write the table."""
    with (source / "clips.csv").open() as file:
        rows = [row for clip in csv.DictReader(file) for row in windows_of(clip["file"], float(clip["seconds"]))]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "windows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["video", "start", "end", "split", "label"])
        writer.writeheader()
        writer.writerows(rows)
    print(len(rows), "windows")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
