"""The tables and figure of a report on steering against fine-tuning, as Markdown and a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.fine_tuning.lessons import KINDS
from benchmarks.fine_tuning.serving import SIDES
from benchmarks.reports import SHARE, reach, shown, table
from vispa.files.drawing import drawing

#: Figures of the tables, with their headings.
FIGURES = {
    "hit": "hit of 31",
    "rank": "AUC",
    "relation": "relation",
    "fluency": "fluency",
    "leakage": "leakage",
    "similarity": "likeness",
    "harmonic_mean": "harmonic mean",
}
_COSTS = {"lessons": "lessons a value", "seconds": "seconds a value", "bytes": "kB a value"}
_COMPARED = {"hit": "hits", "harmonic_mean": "harmonic mean"}


def section(report: Mapping[str, Any]) -> str:
    """All tables of a report."""
    parts = [_ways(report), _pairs(report), _answers(report)]
    if "serving" in report:
        parts.append(_serving(report["serving"]))
    return "\n\n".join(parts)


def _ways(report: Mapping[str, Any]) -> str:
    """Every way that is no matter of numbers of pairs."""
    count = len(report["values"])
    rows = []
    for name, row in report["rows"].items():
        if " of " not in name:
            costs = {**row, "bytes": row["bytes"] / 1000 / count} if "bytes" in row else row
            spent = [_number(costs[one]) if one in costs else "–" for one in _COSTS]
            rows.append([row["words"], *(shown(row["figures"][one]) for one in FIGURES), *spent])
    chosen = ", ".join(
        f"{name.rsplit(' ', 1)[0]} rank {one['rank']}, {one['steps']} steps"
        for name, one in report["chosen"].items()
        if name.endswith(f" {max(report['sizes']['pairs'])}")
    )
    head = (
        f"{report['model']}, {report['situations']} situations × {count} values; chosen: {chosen}. Lessons and kB are "
        "counted, and the same every time. Training was timed once, with the most steps, and reading pairs once, with "
        "the most pairs; a row's seconds are its share of that, for one value: one timing, so without interval."
    )
    return head + "\n\n" + table(["", *FIGURES.values(), *_COSTS.values()], rows)


def _number(one: float) -> str:
    return f"{one:,.0f}" if one >= 1000 else f"{one:.3g}"


def _pairs(report: Mapping[str, Any]) -> str:
    """Every figure by number of pairs or comments."""
    rows = report["rows"]
    kinds = [kind for kind in KINDS if f"adapters {kind}" in rows]
    lines = []
    for size in map(str, report["sizes"]["pairs"]):
        for figure, words in FIGURES.items():
            cells = [shown(rows[f"vectors of {size}"]["figures"][figure])]
            for kind in kinds:
                own = rows.get(f"adapters {kind} of {size}", rows[f"adapters {kind}"])
                count = report["pairs"][size][kind]
                note = f" ({count:.3g} a value)" if count < int(size) else ""
                cells.append(shown(own["figures"][figure]) + note)
            lines.append([size, words, *cells])
    head = ["pairs or comments", "", "vectors, pairs", *(f"adapters, {kind}" for kind in kinds)]
    words = (
        "By number of pairs or comments; where there are fewer comments than that, with those that there are (their "
        "number in brackets):"
    )
    return f"{words}\n\n{table(head, lines)}"


def _answers(report: Mapping[str, Any]) -> str:
    """What the two questions come to."""
    lines = []
    for kind, answer in report["answers"].items():
        last = answer["by_pairs"]
        lines.append([
            kind, f"{shown(answer['equal_fluency'])}: {answer['words']}",
            *(last[figure]["words"] for figure in _COMPARED),
        ])  # fmt: skip
    head = ["adapters trained on", "hits of vectors less adapters' at their fluency"]
    words = (
        "How far vectors' hits are ahead of those of adapters, and from which number of pairs on one of the two is "
        "clearly ahead, by the interval of the difference over the same situations:"
    )
    found = table([*head, *(f"from how many on, by {one}" for one in _COMPARED.values())], lines)
    return f"{words}\n\n{found}"


def _serving(found: Mapping[str, Any]) -> str:
    rows = [[words, _spread(found["rows_a_second"][side])] for side, words in SIDES.items()]
    ratio, own = _spread(found["vectors_to_peft"]), _spread(found["vectors_to_adapters"])
    head = (
        f"{found['values']} rows of {found['tokens']} tokens, each with its own value, adapters of rank "
        f"{found['rank']}; median of {found['rounds']} timed rounds, the first three sides in turn, behind it the "
        "lowest and the highest round, which is no interval of confidence"
    )
    tail = f"Vectors are {ratio} times as quick as peft's adapters, and {own} times as quick as adapters in this engine"
    same = f"{found['same_texts_peft']} of {found['values']} texts are the same in peft and here."
    return f"{head}:\n\n" + table(["", "rows a processor second"], rows) + f"\n\n{tail}; {same}"


def _spread(one: Mapping[str, float]) -> str:
    return f"{one['median']:.3g} ({one['lowest']:.3g} to {one['highest']:.3g})"


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Expression against fluency of all ways, and expression by number of pairs."""
    rows, sizes = report["rows"], report["sizes"]["pairs"]
    with drawing(path, 9.0, 3.8) as figure:
        ways, pairs = figure.subplots(1, 2)
        curve = [row for name, row in rows.items() if name == "unsteered" or _is_strength(name)]
        points = sorted((row["figures"]["fluency"]["estimate"], row["figures"]["hit"]["estimate"]) for row in curve)
        ways.plot(*zip(*points, strict=True), "-o", color="C0", label="vectors of several strengths", markersize=3)
        others = [name for name in rows if " of " not in name and name != "unsteered" and not _is_strength(name)]
        for place, name in enumerate(others):
            x, y = (rows[name]["figures"][one] for one in ("fluency", "hit"))
            ways.errorbar(
                x["estimate"], y["estimate"], xerr=reach([x]), yerr=reach([y]), marker="s^Dv*Px"[place % 7], ls="",
                color=f"C{place + 1}", capsize=2, label=name,
            )  # fmt: skip
        ways.set(xlabel="fluency", ylabel="expression: value found among 31", xlim=SHARE, ylim=SHARE)
        for place, name in enumerate(
            ["vectors", *(f"adapters {kind}" for kind in KINDS if f"adapters {kind}" in rows)]
        ):
            own = [rows.get(f"{name} of {size}", rows[name])["figures"]["hit"] for size in sizes]
            pairs.errorbar(
                sizes, [one["estimate"] for one in own], yerr=reach(own), marker="o", capsize=2, label=name,
                markersize=3, color=f"C{place}",
            )  # fmt: skip
        pairs.set(xlabel="pairs or comments a value", ylabel="expression", xscale="log", ylim=SHARE)
        pairs.set_xticks(sizes, [str(size) for size in sizes])
        for axis in (ways, pairs):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=6)


def _is_strength(name: str) -> bool:
    return name == "vectors" or (name.startswith("vectors ") and " of " not in name)
