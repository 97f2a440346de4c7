"""Builds `report.html` of a run from what lies in its folder."""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from shards.storage import replace_file
from trainers.metrics import Record, read_metrics
from trainers.registry import recipe_names, recipe_summary
from trainers.report.curves import Curve, line_chart, smooth
from trainers.run import RunFolder
from trainers.run_card import RunCard

CONTACT_SHEET = Path("inspect") / "contact_sheet.png"
WAYS = {"direct": "compared as they are", "mapped": "after a linear map"}
Records = Sequence[Record]


def build_report(run: RunFolder) -> Path:
    """Write `report.html` into the run's folder, from whatever is there so far, and return its path.

    Nothing in the folder is executed; a recipe outside maskloom is named, and not looked up.

    Raises:
        RunCardError: The folder holds no run.
        StorageError: The page cannot be written.
    """
    card, records, starts = run.card(), read_metrics(run.metrics), run.starts()
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        files("trainers.report").joinpath("report.html").read_text(encoding="utf-8")
    )
    html = page.render(
        title=f"{card.recipe}, {card.size}",
        subtitle=_subtitle(card.recipe),
        run_name=run.root.name,
        numbers=_numbers(
            records, run.course(), batch=card.resolved["training"]["batch"], damaged=len(list(run.damaged_samples()))
        ),
        facts=_facts(card, starts, run.course()),
        charts=_charts(records),
        evaluations=[_evaluation(path) for path in sorted(run.evaluations.glob("*.json"))],
        contact_sheet=_picture(Path(card.datasets[0].path) / CONTACT_SHEET) if card.datasets else None,
        card=card.to_json(),
        starts=[_start(start) for start in starts],
    )
    replace_file(run.root, run.report, html.encode())
    return run.report


def _subtitle(recipe: str) -> str:
    return recipe_summary(recipe) if recipe in recipe_names() else f"A recipe outside maskloom: {recipe}"


def _numbers(records: Records, course: Mapping[str, Any] | None, *, batch: int, damaged: int) -> list[dict[str, str]]:
    if not records or course is None:
        return []
    last = records[-1]
    numbers = {
        "steps taken": f"{int(last['step']):,} of {course['total_steps']:,}",
        "epochs": f"{last['epoch']:.1f}",
        "loss, last steps": f"{smooth([record['loss'] for record in records])[-1]:.4f}",
        "samples per second": f"{_median([record['samples_per_s'] for record in records]):,.0f}",
        "waiting for data": f"{sum(record['data_wait'] for record in records) / len(records):.0%}",
        "damaged samples": f"{damaged:,}",
        "training time": _duration(sum(batch / record["samples_per_s"] for record in records)),
    }
    return [{"name": name, "value": value} for name, value in numbers.items()]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _facts(
    card: RunCard, starts: Sequence[Mapping[str, Any]], course: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    training = card.resolved["training"]
    facts = [
        ("Recipe", f"{card.recipe} ({card.resolved['paper']})"),
        ("Size", card.size),
        ("Settings", ", ".join(card.settings) or "as in the recipe"),
        ("Datasets", _datasets(card)),
        ("Views", _views(card)),
        ("Seed", str(card.seed)),
    ]
    if course is not None:
        schedule = course["schedule"]
        facts += [
            ("Length", f"{schedule['epochs']:g} epochs of {course['steps_per_epoch']:,.6g} steps"),
            ("Samples per step", f"{training['batch']:,}"),
            ("Learning rate", f"{schedule['peak']:.3g} after {schedule['warmup_epochs']:g} epochs of warm-up"),
            ("Weight decay", f"{training['weight_decay']:g}"),
        ]
    if starts:
        facts.append(("Hardware", f"{starts[-1]['processes']} x {starts[-1]['hardware']}, {starts[-1]['precision']}"))
    versions = ", ".join(f"{name} {number}" for name, number in card.versions.items())
    return [*facts, ("Software", versions)]


def _datasets(card: RunCard) -> str:
    """Where the samples came from, with weights if there are several."""
    if not card.datasets:
        return "none: the weights were imported"
    is_mixed = len(card.datasets) > 1
    shown = (
        f"{record.path} ({record.dataset_id}{f', weight {record.weight}' if is_mixed else ''})"
        for record in card.datasets
    )
    return "; ".join(shown)


def _views(card: RunCard) -> str:
    """What of each picture is looked at: crops of the recipe, or those that the stored targets were computed on."""
    if not card.stored:
        return f"new in every epoch: {_parameters(card.resolved['views'])}"
    ids = ", ".join(stored["target_id"] for stored in card.stored.values())
    views = next(iter(card.stored.values()))["views"]
    parameters = _parameters({"type": views["policy"], **views["parameters"]})
    return f"the {views['count']} that {ids} was computed on, seed {views['seed']}: {parameters}"


def _parameters(described: Mapping[str, Any]) -> str:
    kind = described["type"].rpartition(":")[2]
    return ", ".join([kind, *(f"{name} {value}" for name, value in described.items() if name != "type")])


def _charts(records: Records) -> list[dict[str, Any]]:
    if not records:
        return []
    epochs = [record["epoch"] for record in records]
    charts = [_loss_chart(records, epochs)]
    for name, title, note in (
        ("lr", "Learning rate", ""),
        ("samples_per_s", "Samples per second", "All processes together; the first steps include warming up."),
        ("grad_norm", "Gradient norm", "Before clipping."),
    ):
        values = [record[name] for record in records]
        curves = [Curve(name=title, x=epochs, y=values)]
        svg = line_chart(curves, title=title, x_label="epoch", from_zero=name != "grad_norm")
        charts.append({"title": title, "svg": svg, "names": [], "note": note})
    return charts


def _loss_chart(records: Records, epochs: Sequence[float]) -> dict[str, Any]:
    names = [name for name in records[0] if name.startswith("loss/")]
    names = ["loss", *names] if len(names) > 1 else ["loss"]
    raw = [record["loss"] for record in records]
    curves = [Curve(name=name, x=epochs, y=smooth([record[name] for record in records])) for name in names]
    svg = line_chart([*curves, Curve(name="every step", x=epochs, y=raw, faint=True)], title="Loss", x_label="epoch")
    legend = [{"name": name, "hue": place % 5} for place, name in enumerate(names)] if len(names) > 1 else []
    return {"title": "Loss", "svg": svg, "names": legend, "note": "Strong: moving average. Faint: every step."}


def _evaluation(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    classification = result["classification"]
    drawn = result.get("reconstructions", [])
    notes = [classification["skipped"]] if "skipped" in classification else [_explanation(classification)]
    notes += [f"No picture of {one['target']}: {one['skipped']}." for one in drawn if "skipped" in one]
    return {
        "name": path.stem,
        "step": result["step"],
        "rows": score_rows(classification),
        "tokens": token_rows(result.get("tokens")),
        "found": [found_rows(one) for one in result.get("retrieval", [])],
        "notes": notes,
        "drawn": [_drawn(one, path.parent) for one in drawn if "skipped" not in one],
    }


def _drawn(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what is shown of a target: its picture as a data URL, or guesses at the words of captions."""
    return {
        "title": f"{record['target']} of {record['modality']}",
        "note": record["note"],
        "picture": _picture(folder / record["picture"]) if "picture" in record else None,
        "captions": [_caption(caption) for caption in record.get("guesses", [])],
    }


def _caption(caption: Mapping[str, Any]) -> dict[str, Any]:
    """Return a text as runs of words of one role, and a row for each hidden word."""
    return {
        "key": caption["key"],
        "words": caption["words"],
        "rows": [
            {
                "word": hidden["word"],
                "read": "nothing" if hidden["read"] is None else hidden["read"],
                "guesses": [
                    {
                        "word": guess["word"],
                        "share": f"{guess['probability']:.0%}",
                        "right": guess["word"] == hidden["word"],
                    }
                    for guess in hidden["guesses"]
                ],
            }
            for hidden in caption["hidden"]
        ],
    }


def token_rows(tokens: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What was measured of a tokenizer, as names and values; nothing for networks that are none."""
    if tokens is None:
        return []
    codebook, given = tokens["codebook"], tokens["reconstruction"]
    where = "held-out samples" if tokens["held_out"] else "samples of a dataset that it was trained on"
    return [
        ("Measured on", f"{tokens['samples']:,} {where}, {tokens['tokens']:,} tokens"),
        ("Codes seen", f"{codebook['seen']:.1%} of {codebook['codes']:,.0f}"),
        ("Codes that take a tenth of an even share", f"{codebook['used']:.1%}"),
        ("Perplexity", f"{codebook['perplexity']:,.1f} evenly used codes would be as hard to guess"),
        (f"Reconstruction: {given['name']}", f"{given['mean']:.4g} ({given['unit']})"),
    ]


def score_rows(classification: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Accuracies as text, one row per feature set, ours first: name, and kNN and linear scores with their ranges."""
    return [
        {"name": name, "scores": [_score_text(scores["knn"]), _score_text(scores["linear"])]}
        for name, scores in classification.get("scores", {}).items()
    ]


def found_rows(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found across two modalities, as text: a row for each way of comparing, by what made the vectors."""
    first, second = found["between"]
    title = f"{first} and {second}"
    if "skipped" in found:
        return {"title": title, "rows": [], "cuts": [], "note": found["skipped"]}
    arrows = {"forth": f"{first} to {second}", "back": f"{second} to {first}"}
    rows = [
        {
            "name": f"{maker}, {WAYS[way]}",
            "direction": arrows[direction],
            "scores": [_score_text(score) for score in recalls.values()],
        }
        for maker, ways in found["scores"].items()
        for way, directions in ways.items()
        for direction, recalls in directions.items()
    ]
    chance = ", ".join(f"{share:.1%}" for share in found["chance"].values())
    note = (
        f"How often the sample's own is among the nearest 1, 5 and 10 of {found['test_samples']:,}, with its 95 % interval; by "
        f"chance {chance}. Linear maps were fitted on {found['train_samples']:,} other samples."
    )
    return {"title": title, "rows": rows, "cuts": [f"within {cut}" for cut in found["chance"]], "note": note}


def _score_text(score: Mapping[str, float]) -> dict[str, str]:
    return {"accuracy": f"{score['accuracy']:.1%}", "range": f"{score['low']:.1%} to {score['high']:.1%}"}


def _explanation(classification: Mapping[str, Any]) -> str:
    return (
        f"Accuracy with its 95 % interval, {classification['train_samples']:,} samples to learn the labels from and "
        f"{classification['test_samples']:,} to test on ({classification['split']}). Always answering with the most "
        f"frequent label reaches {classification['majority']['accuracy']:.1%}."
    )


def _picture(path: Path) -> str | None:
    """A PNG as a data URL, or None if there is no such file."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _start(start: Mapping[str, Any]) -> dict[str, Any]:
    return {name: start[name] for name in ("at", "step", "hardware", "processes", "precision")}
