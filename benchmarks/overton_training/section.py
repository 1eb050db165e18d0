"""The tables and figure of a report on Overton training, as Markdown and a drawing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reports import SHARE, reach, shown, table
from vispa.files.drawing import drawing

Report = Mapping[str, Any]

#: Figures on acts, and on situations of the domains, with their headings.
ACTS = {
    "sentences": "sentences",
    "words": "words",
    "gold heard": "gold values heard",
    "gold heard, same length": "gold heard, same length",
    "gold stances heard": "gold stances heard",
    "precision": "precision",
}
DOMAINS = {
    "sentences": "sentences",
    "words": "words",
    "as published": "coverage as published",
    "same length": "same length",
    "other situations": "same length, other situations",
    "above chance": "above chance, same length",
    "beyond the text": "beyond the text, above chance",
}
#: Side and figure of what the trained model is compared by.
COMPARED = (
    ("acts", "gold heard"),
    ("acts", "gold heard, same length"),
    ("acts", "precision"),
    ("domains", "as published"),
    ("domains", "same length"),
    ("domains", "above chance"),
)
_WHOLE = ("sentences", "words")
# Of the course of training that the table has.
_QUARTERS = 5
_STEPS_TOGETHER = 10


def section(report: Report) -> str:
    """All tables of a report."""
    return "\n\n".join([_cost(report), _ways(report, "acts", ACTS), _ways(report, "domains", DOMAINS), _ahead(report)])


def _cost(report: Report) -> str:
    course, cost, settings = report["training"]["course"], report["training"], report["settings"]
    head = ["steps", *course[0]]
    rows = [
        [
            f"{first + 1} to {last}",
            *(f"{_mean(course[first:last], name):.{1 if name == 'words' else 3}f}" for name in course[0]),
        ]
        for first, last in _parts(len(course))
    ]
    words = (
        f"**Training**: {settings['steps']} steps of {settings['prompts']} situations with {settings['answers']} "
        f"answers each, {cost['answers']:,} answers in all; of {cost['lessons']:,} labelled situations and acts; "
        f"{cost['seconds']:,.0f} s, {cost['processor_seconds']:,.0f} s of the processor, {cost['threads']} threads of "
        "torch, one run. VISPA needs no such training; its vectors are fitted on pairs. The reward hears the value of "
        f"{report['reward']['hears']:.0%} of the sentences of the corpus. Means of the answers that were drawn:"
    )
    return f"{words}\n\n{table(head, rows)}"


def _parts(count: int) -> list[tuple[int, int]]:
    """From and to of at most five parts of the steps."""
    parts = min(_QUARTERS, count)
    ends = [round(count * part / parts) for part in range(parts + 1)]
    return list(itertools.pairwise(ends))


def _mean(course: Sequence[Mapping[str, float]], name: str) -> float:
    return sum(step[name] for step in course) / len(course)


def _ways(report: Report, side: str, figures: Mapping[str, str]) -> str:
    rows = [
        [row["words"], *(shown(row[side][name], 1 if name in _WHOLE else 3) for name in figures)]
        for row in report["rows"].values()
    ]
    count = report["rows"]["vispa"][side]["words"]["n"]
    words = {
        "acts": f"**{count} held-out acts**, whose gold values are those that support or oppose them. *Heard*: share "
        "of them in whose voice a sentence speaks, exact by the corpus grammar; *same length*: of three sentences "
        "drawn from each answer; *stances*: with a sentence that also argues their side. *Precision*: share of "
        "sentences in the voice of a gold value. Of VISPA what it quotes counts, without what it says about its "
        "comments; what is repeated counts once under the same length. Intervals by bootstrap over acts:",
        "domains": f"**{count} situations of law, education, work and care**: likeness of embeddings to the "
        "explanations of what is at stake ([how to read it](researcher.md#how-to-read-an-overton-table)), three "
        "sentences of each answer where the length is the same. Intervals by bootstrap over situations:",
    }[side]
    return f"{words}\n\n{table(['', *figures.values()], rows)}"


def _ahead(report: Report) -> str:
    headings = {"acts": ACTS, "domains": DOMAINS}
    names = [f"{'acts' if side == 'acts' else 'domains'}: {headings[side][name]}" for side, name in COMPARED]
    rows = [
        [report["rows"][way]["words"], *(f"{shown(own[name], 3)}: {own[name]['words']}" for _, name in COMPARED)]
        for way, own in report["differences"].items()
    ]
    return "The trained model's figures less those of the others, on the same acts and situations:\n\n" + table(
        ["less", *names], rows
    )


def draw(report: Report, path: Path) -> None:
    """The course of training, and gold values heard by every way whole and under the same length."""
    course = report["training"]["course"]
    with drawing(path, 9.0, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        together = min(_STEPS_TOGETHER, len(course))
        steps = range(together, len(course) + 1)
        for name, words in (("coverage", "values at stake heard"), ("likeness", "likeness of sentences")):
            left.plot(steps, [_mean(course[end - together : end], name) for end in steps], label=words)
        left.set(xlabel=f"step of training, mean of {together}", ylabel="parts of the reward", ylim=SHARE)
        ways = report["rows"]
        for place, name in enumerate(("gold heard", "gold heard, same length")):
            ones = [row["acts"][name] for row in ways.values()]
            x = [group + 0.15 * (place - 0.5) for group in range(len(ones))]
            right.errorbar(
                x, [one["estimate"] for one in ones], yerr=reach(ones), marker="os"[place], ls="", capsize=2,
                label=ACTS[name],
            )  # fmt: skip
        right.set_xticks(range(len(ways)), list(ways))
        right.set(ylabel="share of gold values, held-out acts", ylim=SHARE)
        for axis in (left, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7)
