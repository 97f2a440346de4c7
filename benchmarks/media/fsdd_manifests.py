"""Write the tables of spoken digits (fsdd) that `maskloom ingest` reads: digits and speakers, by unseen speakers or recordings.

    python fsdd_manifests.py FSDD OUT

OUT/digit_{train,test}.csv: labels are digits; the first four speakers by name to train on, the last two to test on.
OUT/speaker_{train,test}.csv: labels are speakers; recordings 5 to 14 of each digit to train on, 15 to 17 to test on.
OUT/known_{train,test}.csv: the same recordings, labels are digits.
"""

import csv
import sys
from pathlib import Path

TEST_SPEAKERS = {"theo", "yweweler"}
FIRST_TEST_RECORDING = 15


def main(source: Path, out: Path) -> None:
    """Write the four tables."""
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((source / "recordings").glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        place = f"recordings/{path.name}"
        rows.setdefault("digit_test" if speaker in TEST_SPEAKERS else "digit_train", []).append((place, digit))
        part = "speaker_test" if int(index) >= FIRST_TEST_RECORDING else "speaker_train"
        rows.setdefault(part, []).append((place, speaker))
        rows.setdefault(part.replace("speaker", "known"), []).append((place, digit))
    for name, items in rows.items():
        with (out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("audio", "label"), *items])
        print(name, len(items))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
