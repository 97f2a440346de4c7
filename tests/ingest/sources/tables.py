"""Tables made from rows, in every format that is read."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [
    {"file_name": "one.jpg", "caption": "first, with a comma", "label": "cat", "license": "CC0", "width": 48},
    {"file_name": "sub/two.png", "caption": 'a "quoted" one', "label": "ant", "license": "", "width": None},
]


def write_table(folder: Path, suffix: str, rows: Sequence[Any]) -> Path:
    path = folder / f"table.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif suffix == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path
