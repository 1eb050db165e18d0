"""The tables and the figure of a report on values that change, as Markdown and a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.drift.changes import SPLIT
from benchmarks.reports import SHARE, reach, shown, table
from vispa.files.drawing import drawing

Report = Mapping[str, Any]


def section(report: Report) -> str:
    """The tables of all parts that a report has."""
    parts = {"directions": _directions, "selection": _selection, "expression": _expression, "mixtures": _mixtures}
    return "\n\n".join(written(report[name]) for name, written in parts.items() if name in report)


def _directions(found: Report) -> str:
    head = ["value, estimator", "10 %", "25 %", "50 %", "100 %", "half against half, same wording", "half, new wording"]
    rows = []
    for slug, own in found["reworded"].items():
        for estimator, shares in own["shares"].items():
            halves = own["halves"][estimator].values()
            rows.append([f"{slug}, {estimator}", *map(shown, (*shares.values(), *halves))])
    lines = []
    for name, own in _comings(found):
        for slug, one in own["values"].items():
            near = ", ".join(f"{old['value']} {shown(old)}" for old in one["nearest"])
            lines.append([f"{slug} ({name})", near, _others(own["others"])])
    for slug, own in found["reworded"].items():
        near = ", ".join(f"{old['value']} {old['cosine']:.2f}" for old in own["nearest_others"][:2])
        lines.append([f"{slug} (all pairs new)", near, _others(own["others"])])
    words = (
        "**Directions**: cosine to the direction before, by share of the pairs that are new; mean over draws of which "
        "pairs are replaced and the middle 95 % of the draws, for 100 % a jackknife interval over the new pairs. "
        "Beside it two directions of 50 pairs each, both old, or one old and one new, which says what of the change is "
        "wording and what is chance (draws)."
    )
    also = (
        "The old directions that are nearest to a new one, cosines with jackknife intervals over the new pairs; in "
        "rows marked (all pairs new) no interval was taken. *Others*: the other values' cosine to "
        f"what they were, mean and least of all {_counts(found)} that stay: no sample of values, so without interval."
    )
    return "\n\n".join([words, table(head, rows), also, table(["value", "nearest", "others: mean, least"], lines)])


def _comings(found: Report) -> Iterator[tuple[str, Report]]:
    """What comes with splits and unforeseen values, by name."""
    yield f"{SPLIT} split", found["split"]
    for one in found["added"].values():
        yield "added", one


def _counts(found: Report) -> str:
    """How many values stay, `30 or 31`."""
    parts = (*found["reworded"].values(), *(own for _, own in _comings(found)))
    return " or ".join(map(str, sorted({own["others"]["n"] for own in parts})))


def _others(one: Mapping[str, float]) -> str:
    return f"{one['mean']:.4f}, {one['least']:.4f}"


def _selection(found: Report) -> str:
    names = ("rank", "auc", "overlap", "chosen")
    rows = []
    for slug, own in found["reworded"].items():
        rows += [[f"{slug}: {name}", *(shown(one.get(figure)) for figure in names)] for name, one in own.items()]
    own = found["split"]
    rows.append([f"{SPLIT}: before", "–", shown(own["auc before"]), "–", shown(own["chosen before"])])
    rows.append([f"{SPLIT}: split, either half", *(shown(own[figure]) for figure in names)])
    rows += [[f"{slug}: added", *(shown(one.get(figure)) for figure in names)] for slug, one in found["added"].items()]
    nothing = "nothing, to the bit: the value's head has learned from situations"
    change = "its scores" if found["built_in_pairs_matter"] else nothing
    words = (
        f"**Selection** on {found['situations']} labelled situations, by the default selector, which no steered model "
        f"changes. Another wording of a built-in value's pairs changes {change}. A renamed "
        "value loses that head, and is scored by its definition and pairs. *Rank*: Spearman's correlation of the "
        "value's scores with those before (with new pairs: with those of the renamed value with old pairs); *AUC* "
        f"against the labels; *overlap*: share of the {found['chosen']} values chosen before that still are; *chosen*: "
        f"in how many situations the value is. Mean of {found['draws']} draws of pairs; intervals by bootstrap over "
        "situations."
    )
    return f"{words}\n\n" + table(["", "rank", "AUC", "overlap", "chosen"], rows)


def _expression(found: Report) -> str:
    rows = []
    for name, one in found["changes"].items():
        cells = [one["before"], one["after"], one["others before"], one["others after"]]
        rows.append([name, *(shown(cell and cell[figure]) for figure in ("hit", "rank") for cell in cells)])
    words = (
        f"**Comments** on {found['situations']} situations: how often the judge finds the value among all (hit), and "
        f"the share of the others that it puts behind (AUC); the others are {', '.join(found['others'])}. Of halves "
        "and unforeseen values another judge is asked, which learnt from pairs, those that directions are fitted on "
        "among them. Intervals by bootstrap over situations."
    )
    sides = ("before", "after", "others before", "others after")
    head = ["change", *(f"{figure}, {side}" for figure in ("hit", "AUC") for side in sides)]
    return f"{words}\n\n" + table(head, rows)


def _mixtures(found: Report) -> str:
    names = ("mixture", "value", "others", "yardstick")
    rows = [[name, *(shown(one[figure]) for figure in names)] for name, one in found["changes"].items()]
    words = (
        "**Mixtures**: Jensen–Shannon distance (0 to 0.83) between answers before and after, over "
        f"{found['questions']} survey questions, as the steered model itself weighs options. *Mixture*: plain mean of "
        f"the changed value and {len(found['others'])} others; *value*: of the changed value alone; *others*: of the "
        "others' mean; *yardstick*: how far the changed value's answers lie from the others'. Intervals by bootstrap "
        "over questions."
    )
    return f"{words}\n\n" + table(["change", "mixture", "value", "others", "yardstick"], rows)


def draw(report: Report, path: Path) -> None:
    """Cosine by share of new pairs, a line for each value and estimator."""
    found = report["directions"]["reworded"]
    with drawing(path, 4.8, 3.2) as figure:
        axis = figure.subplots()
        for place, (slug, own) in enumerate(found.items()):
            for number, (estimator, shares) in enumerate(own["shares"].items()):
                x = [100 * float(share) + 0.8 * (2 * place + number - 1.5) for share in shares]
                y = [one["estimate"] for one in shares.values()]
                axis.errorbar(
                    x, y, yerr=reach([*shares.values()]), color=f"C{place}", marker="os"[number],
                    ls=("-", "--")[number], ms=4, lw=1, capsize=2, label=f"{slug}, {estimator}",
                )  # fmt: skip
        axis.set(xlabel="% of the pairs in new wording", ylabel="cosine to the direction before", ylim=SHARE)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, frameon=False)
