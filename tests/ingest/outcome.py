"""What became of the items of an ingest, by the name each has in its source."""

from pathlib import Path

import numpy as np

from shards.dataset import Dataset
from shards.index import ArrowTable
from shards.receipt import read_receipt
from shards.sample import Sample


def stored(root: Path) -> dict[str, Sample]:
    """Return every sample of the dataset `root`, with all its fields, by source."""
    dataset = Dataset.open(root)
    ids = np.arange(dataset.num_samples)
    samples = dataset.read(ids, tuple(dataset.manifest.fields))
    return dict(zip(dataset.column(ids, "source").tolist(), samples, strict=True))


def rejected(root: Path) -> dict[str, tuple[str, str]]:
    """Return reason and detail of every reject of the dataset `root`, by source."""
    files = [read_receipt(root, shard).files["rejects"] for shard in range(Dataset.open(root).manifest.num_shards)]
    rows = [row for file in files for row in ArrowTable(root / file.path).rows()]
    return {row["source"]: (row["reason"], row["detail"]) for row in rows}


def reasons(root: Path) -> dict[str, str]:
    """Return the reason of every reject of the dataset `root`, by source."""
    return {source: reason for source, (reason, _) in rejected(root).items()}
