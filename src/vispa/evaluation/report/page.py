"""The report of a run: one HTML file that opens without a network, a server or a script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from pydantic import RootModel

from vispa.evaluation.clusters import texts_of
from vispa.evaluation.diagnostics import SIGNATURES_FILE, Signature
from vispa.evaluation.metrics import METRICS, judge_in_words
from vispa.evaluation.report import words as report_words
from vispa.evaluation.report.examples import cut, example, spread
from vispa.evaluation.report.figures import DrawnFigure, draw_run, groups_by_size
from vispa.evaluation.runs.run import Run, read_run
from vispa.evaluation.score_files import load_scores
from vispa.evaluation.scoring import RunScores
from vispa.files.door import read_text
from vispa.files.reading import read_json, read_object
from vispa.files.validation import validated
from vispa.files.visible import visible_text
from vispa.files.writing import replacing
from vispa.request import LETTERS

#: File name of the report.
REPORT_FILE = "report.html"

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_FILTERS = {
    "number": report_words.number,
    "signed": report_words.signed,
    "percent": report_words.percent,
    "p_value": report_words.p_value,
    "label": report_words.figure_label,
    "meaning": report_words.figure_meaning,
    "group_label": report_words.group_label,
    "readable": report_words.readable,
    "counted": report_words.counted,
    "drawn_over": report_words.drawn_over,
}


def report_folder(folder: Path, *, data: Path | None = None) -> Path:
    """Write the report of a folder's run, which must be scored; its checks are shown where they were made.

    Args:
        folder: of the run.
        data: see `vispa.evaluation.runs.run.read_run`.

    Raises:
        InputError: the run is not scored, or changed since; or matplotlib is missing.
    """
    run = read_run(folder, data)
    return write_report(run, load_scores(run), _signatures(folder))


def write_report(run: Run, scores: RunScores, signatures: Sequence[Signature] | None = None) -> Path:
    """Write `report.html` and the figures it holds (`figures/*.svg`); the same run gives the same bytes.

    Args:
        run: that was scored.
        scores: its scores; see `vispa.evaluation.scoring.score`.
        signatures: its checks; see `vispa.evaluation.diagnostics.check`. None where none were made.

    Returns:
        The report's path.

    Raises:
        InputError: matplotlib is missing, or the folder cannot be written to.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters |= _FILTERS
    drawn = draw_run(run, scores, run.folder / "figures")
    machine = run.folder / "environment.json"
    interval = next((figure for one in scores.methods.values() for figure in one.figures.values()), None)
    page = environment.from_string(read_text(_TEMPLATE, "settings")).render(
        scores=scores,
        facts=_facts(run, scores),
        methods={method: report_words.method_meaning(method) for method in run.records},
        names=_figure_names(scores),
        summary=_summary(scores),
        outdated=scores.outdated,
        compared=_compared(scores),
        interval=interval,
        together=report_words.drawn_together(interval, len(set(texts_of(run.items)))) if interval else "",
        same_gold=_same_gold(run),
        same_gold_advice=METRICS[scores.metric].same_gold_advice,
        groups=groups_by_size(scores),
        signatures=signatures,
        **_checks(signatures or ()),
        figures={one.path.stem: _figure(number, one) for number, one in enumerate(drawn)},
        config=_flat(run.config),
        environment=_flat(read_object(machine, "run")) if machine.is_file() else [],
        examples=[example(run, item) for item in spread(run.items)],
    )
    path = run.folder / REPORT_FILE
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


def _shown(value: Any) -> Any:
    """What the page shows of a text: markup is escaped by the template, what cannot be seen is written out here."""
    return visible_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _facts(run: Run, scores: RunScores) -> list[tuple[str, str]]:
    """What was asked of whom, as names and texts."""
    task, items = run.task, f"{scores.items:,}"
    if task.items is not None and task.items > scores.items:
        items = f"the first {items} of {task.items:,}"
    data = [task.paper, f"licence: {task.licence}"]
    facts = [
        ("Task", task.description),
        ("Mode", report_words.words()["modes"][task.mode]),
        ("Items", items),
        ("Data", "; ".join(part for part in data if part)),
        ("Model", str(run.config["model"]) if isinstance(run.config.get("model"), str) else ""),
        ("Judged by", judge_in_words(scores.judge) if scores.judge else ""),
        ("Length", report_words.length_control(scores.budget, scores.shuffles) if scores.budget else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _same_gold(run: Run) -> str | None:
    """The option that the gold prefers in every item that leaves a choice; None if it is not always the same."""
    places = set()
    for item in run.items:
        if len(item.options) > 1 and item.gold_distribution is not None:
            places.add(max(range(len(item.options)), key=item.gold_distribution.__getitem__))
        elif len(item.options) > 1 and item.label is not None:
            places.add(item.label)
    return LETTERS[places.pop()] if len(places) == 1 and len(run.items) > 1 else None


def _figure_names(scores: RunScores) -> list[str]:
    """Names of the run's figures, in the metric's order."""
    figures = METRICS[scores.metric].figures
    return [one.name for one in figures if any(one.name in found.figures for found in scores.methods.values())]


def _summary(scores: RunScores) -> list[str]:
    """Names of the figures of the report's first table: the headlines, and what they are to be read with."""
    shown = {one.name for one in METRICS[scores.metric].figures if one.headline or one.context}
    return [name for name in _figure_names(scores) if name in shown]


def _compared(scores: RunScores) -> list[str]:
    """The figures in which methods are compared item by item."""
    return [name for name in _figure_names(scores) if any(name in one.differences for one in scores.methods.values())]


class _Signatures(RootModel[tuple[Signature, ...]]):
    """The checks of a run, as `vispa.evaluation.diagnostics.check` writes them."""


def _signatures(folder: Path) -> list[Signature] | None:
    """The checks; None where none were made."""
    path = folder / SIGNATURES_FILE
    if not path.is_file():
        return None
    found = read_json(path, "run")
    return list(validated(_Signatures, found, str(path), advice="Check the run anew.").root)


def _checks(signatures: Sequence[Signature]) -> dict[str, list[dict[str, Any]]]:
    """The checks that fired, those that did not, and those that could not be made."""
    return {
        "fired": _by_check([one for one in signatures if one.fired]),
        "passed": _by_check([one for one in signatures if not one.fired and one.figure is not None]),
        "unmeasured": _by_check([one for one in signatures if one.figure is None]),
    }


def _by_check(signatures: Sequence[Signature]) -> list[dict[str, Any]]:
    """Each check once, with the methods it was made of: what it means is the same for all of them."""
    found: dict[tuple[str, str, float, str], dict[str, Any]] = {}
    for one in signatures:
        known = report_words.check_words(one.name)
        shared = f" ({_detail(one.detail)})" if known.shared_detail and one.detail else ""
        entry = found.setdefault(
            (one.name, one.side, one.threshold, one.advice),
            {
                "name": one.name,
                "measured": f"{known.measured}{shared}",
                "limit": f"{one.side} {report_words.check_figure(one.name, one.threshold)}",
                "advice": one.advice,
                "methods": [],
            },
        )
        figure = None if one.figure is None else report_words.check_figure(one.name, one.figure)
        entry["methods"].append((one.method, figure, "" if shared else _detail(one.detail)))
    return list(found.values())


def _detail(detail: str) -> str:
    """A check's detail with the names of figures and values in words."""
    return report_words.readable(report_words.figure_label(detail))


def _figure(number: int, drawn: DrawnFigure) -> dict[str, Any]:
    # Matplotlib escapes all text in its figures.
    svg = inline_svg(read_text(drawn.path, "run"), f"f{number}-")
    named = f'<svg role="img" aria-label="{escape(visible_text(drawn.alternative))}"'
    return {"title": drawn.title, "caption": drawn.caption, "svg": Markup(svg.replace("<svg", named, 1))}


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Names with dots and values of nested settings."""
    rows: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((f"{above}{name}", cut(text)))
    return rows
