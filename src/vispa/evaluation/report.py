"""The report of a run: one HTML file that opens without a network, a server or a script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from vispa.errors import InputError
from vispa.evaluation.figures import DrawnFigure, draw_run, groups_by_size
from vispa.evaluation.items import TaskItem
from vispa.evaluation.records import ItemRecord
from vispa.evaluation.runs import Run, read_object, read_run
from vispa.evaluation.scoring import RunScores, load_scores
from vispa.evaluation.signatures import SIGNATURES_FILE, Signature
from vispa.files import replacing
from vispa.inputs import read_text
from vispa.modes.answers import LETTERS

#: File name of the report.
REPORT_FILE = "report.html"

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_EXAMPLES = 5
_LONGEST_TEXT = 1200
# The order of figures in tables, and whether a higher one is better.
_WORDS = {
    "entailment_mean": "entailment score",
    "entailment_deviation": "deviation of entailment score",
    "covered_share": "covered (entailment > 0.33)",
    "cosine_mean": "embedding likeness",
    "cosine_deviation": "deviation of likeness",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "binary_accuracy": "accuracy, binary",
    "binary_balanced_accuracy": "balanced accuracy, binary",
    "binary_macro_f1": "macro F1, binary",
    "binary_micro_f1": "micro F1, binary",
    "jensen_shannon": "Jensen–Shannon distance ↓",
    "most_likely": "most likely option agrees",
}


def write_report(folder: Path, *, data: Path | None = None) -> Path:
    """Write `report.html` and the figures it holds (`figures/*.svg`).

    The run must be scored (`vispa.evaluation.scoring.score_run`); its signatures are shown where
    they were checked (`vispa.evaluation.signatures.check_run`). The same run gives the same bytes.

    Args:
        folder: of the run.
        data: see `vispa.evaluation.runs.read_run`.

    Returns:
        The report's path.

    Raises:
        InputError: the run is not scored, or changed since; or matplotlib is missing.
    """
    run = read_run(folder, data)
    scores = load_scores(run)
    drawn = draw_run(run, scores, folder / "figures")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "signed": _signed, "p_value": _p_value, "words": _words, "share": _share}
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        run=run,
        scores=scores,
        names=_figure_names(scores),
        compared=_compared(scores),
        groups=groups_by_size(scores),
        signatures=_signatures(folder),
        figures=[_figure(number, one) for number, one in enumerate(drawn)],
        config=_flat(run.config),
        environment=_flat(read_object(folder / "environment.json")) if (folder / "environment.json").is_file() else [],
        examples=[_example(run, item) for item in _spread(run.items)],
    )
    path = folder / REPORT_FILE
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def inline_svg(text: str, prefix: str) -> str:
    """An SVG file's text as an element of an HTML page.

    What comes before the element is left out, and so are metadata and name spaces, which HTML
    does not need; identifiers get a prefix, because those of a page must differ.
    """
    element = text[text.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", element)
    element = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}\1"', element)
    element = re.sub(r'\bxlink:href="#', f'href="#{prefix}', element)
    element = re.sub(r"url\(#", f"url(#{prefix}", element)
    # A style element of a figure would hold for the whole page.
    return re.sub(r"<style\b.*?</style>", "", element, flags=re.DOTALL)


# ---------------------------------------------------------------- what the template gets


def _figure_names(scores: RunScores) -> list[str]:
    return [name for name in _WORDS if any(name in one.figures for one in scores.methods.values())]


def _compared(scores: RunScores) -> list[str]:
    return [name for name in _WORDS if any(name in one.differences for one in scores.methods.values())]


def _signatures(folder: Path) -> list[Signature] | None:
    """The checks; None where none were made."""
    path = folder / SIGNATURES_FILE
    if not path.is_file():
        return None
    try:
        return [Signature.model_validate(entry) for entry in json.loads(read_text(path))]
    except (ValueError, TypeError) as error:
        raise InputError(str(path), "is not a file of signatures.", "Check the run anew.") from error


def _figure(number: int, drawn: DrawnFigure) -> dict[str, Any]:
    # Matplotlib escapes all text in its figures.
    svg = Markup(inline_svg(read_text(drawn.path), f"f{number}-"))
    return {"title": drawn.title, "caption": drawn.caption, "svg": svg}


def _example(run: Run, item: TaskItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "text": _cut(item.text),
        "attribute": item.attribute,
        "gold": _gold(item),
        "answers": [
            {"method": method, "outcome": run.outcome(method, item), **_answer(records.get(item.id), item)}
            for method, records in run.records.items()
        ],
    }


def _gold(item: TaskItem) -> list[str]:
    if item.gold_distribution is not None:
        return [_options(item, item.gold_distribution)]
    if item.label is not None:
        target = [f"target: {', '.join(item.vrd)}"] if item.vrd else []
        return [*target, f"{LETTERS[item.label]}. {item.options[item.label]}"]
    return [_cut(explanation) for explanation in item.explanations]


def _answer(record: ItemRecord | None, item: TaskItem) -> dict[str, Any]:
    if record is None:
        return {"response": "", "answer": None, "distribution": "", "error": None, "selected": (), "comments": []}
    known = record.distribution is not None and len(record.distribution) == len(item.options)
    return {
        "response": _cut(record.response or ""),
        "answer": record.answer,
        "distribution": _options(item, record.distribution or ()) if known else "",
        "error": record.error,
        "selected": record.values,
        "comments": [(comment.value or comment.source or "comment", _cut(comment.text)) for comment in record.comments],
    }


def _options(item: TaskItem, shares: Sequence[float]) -> str:
    return " · ".join(f"{option} {share:.2f}" for option, share in zip(item.options, shares, strict=True))


def _spread(items: Sequence[TaskItem]) -> list[TaskItem]:
    """Some items, evenly spaced: neither the best nor the worst ones."""
    places = sorted({int(place) for place in np.linspace(0, len(items) - 1, min(_EXAMPLES, len(items)))})
    return [items[place] for place in places]


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Names with dots and values of nested settings."""
    rows: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((f"{above}{name}", _cut(text)))
    return rows


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} … ({len(text):,} characters)"


def _words(name: str) -> str:
    return _WORDS.get(name, name)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _share(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
