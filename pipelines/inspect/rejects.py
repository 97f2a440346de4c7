"""Examples of what was refused, by reason."""

from __future__ import annotations

from pipelines.inspect.examined import MAX_EXAMINED
from shards.dataset import Dataset
from shards.index import ArrowTable
from shards.receipt import read_receipt


def reject_examples(dataset: Dataset, per_reason: int = 3) -> dict[str, list[tuple[str, str]]]:
    """Return, for every reason, source and detail of the first few rejected items in at most 10,000 shards."""
    examples: dict[str, list[tuple[str, str]]] = {reason: [] for reason in dataset.manifest.rejects}
    for shard in range(min(dataset.manifest.num_shards, MAX_EXAMINED)):
        wanting = {reason for reason, found in examples.items() if len(found) < per_reason}
        if not wanting:
            break
        receipt = read_receipt(dataset.root, shard)
        if not wanting & set(receipt.rejects):
            continue
        for row in ArrowTable(dataset.root / receipt.files["rejects"].path).rows():
            found = examples.setdefault(row["reason"], [])
            if len(found) < per_reason:
                found.append((row["source"], row["detail"]))
    return examples
