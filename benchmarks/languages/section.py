"""The tables and the figure of a report on other languages than English, as Markdown and a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.languages.figures import TOP
from benchmarks.reports import SHARE, percent, reach, shown, table
from vispa.files.drawing import drawing

Report = Mapping[str, Any]

#: Languages that situations are translated to.
NAMES = {"de": "German", "fr": "French", "es": "Spanish", "tr": "Turkish", "hi": "Hindi", "zh": "Chinese"}
_SELECTED = ("rank correlation", f"overlap at {TOP}")


def section(report: Report) -> str:
    """The tables of all parts that a report has."""
    parts = [_recognition(report["recognition"])]
    if "agreement" in report:
        parts.append(_agreement(report["agreement"]))
    return "\n\n".join(parts)


def _recognition(found: Report) -> str:
    rows = []
    for kind, one in found.items():
        digits = 2 if one["refused"]["n"] > 1000 else 1
        right = percent(one["right"], digits) if "right" in one else "–"
        shares = [percent(one["refused"], digits), percent(one["warned"], digits), right]
        rows.append([NAMES.get(kind, kind), f"{one['refused']['n']:,}", *shares, shown(one["milliseconds"], 3)])
    words = (
        "**Recognition**: share of the texts that are refused as not in English, or warned about, and of translations "
        "those whose language is named rightly; exact intervals of these shares, as if texts were drawn at random. "
        "Processor time of one thread, mean over texts, after the detector is loaded; interval by bootstrap over texts."
    )
    head = ["texts", "number", "refused", "warned about", "right language named", "milliseconds a text"]
    return f"{words}\n\n{table(head, rows)}"


def _agreement(found: Report) -> str:
    rows = [
        [NAMES.get(name, f"*{name}*"), *(shown(own[figure]) for figure in _SELECTED)] for name, own in found.items()
    ]
    count = next(iter(found.values()))[_SELECTED[0]]["n"]
    words = (
        f"**Selection** for {count} situations in another language against the same encoder's for their English text: "
        f"Spearman's correlation of the values' scores, and the share of the {TOP} best that both have. *Chance*: "
        "against the English text of another situation. *Bundled encoder*: English text, the two encoders against each "
        "other. Intervals by bootstrap over situations."
    )
    return f"{words}\n\n{table(['the same situations in', *_SELECTED], rows)}"


def draw(report: Report, path: Path) -> None:
    """Shares of texts refused, by kind; and how alike selection is to that for English, where it was measured."""
    panels = 2 if "agreement" in report else 1
    with drawing(path, 1.2 + 3.6 * panels, 3.2) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        kinds = report["recognition"]
        _points(axes[0], kinds, [one["refused"] for one in kinds.values()], "refused")
        axes[0].set(xlabel="share of texts refused as not in English", xlim=SHARE)
        if panels == 2:
            found = report["agreement"]
            for place, name in enumerate(_SELECTED):
                _points(axes[1], found, [one[name] for one in found.values()], name, place)
            lowest = min(one[name]["low"] for one in found.values() for name in _SELECTED)
            axes[1].set(xlabel="selection, against English", xlim=SHARE if lowest >= 0 else (-1, SHARE[1]))
            axes[1].legend(fontsize=7, frameon=False)


def _points(axis: Any, names: Report, ones: list[Mapping[str, float]], label: str, place: int = 0) -> None:
    rows = [row + 0.15 * place for row in range(len(ones))]
    axis.errorbar(
        [one["estimate"] for one in ones], rows, xerr=reach(ones), marker="os"[place], ls="", ms=4, lw=1, capsize=2,
        color=f"C{place}", label=label,
    )  # fmt: skip
    axis.set_yticks(range(len(ones)), [NAMES.get(name, name) for name in names])
    axis.set_ylim(len(ones) - 0.5, -0.5)
    axis.grid(alpha=0.3)
