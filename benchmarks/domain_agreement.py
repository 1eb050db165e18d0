"""How far writer and readers of the domains' suites agree: `python -m benchmarks.domain_agreement [--json FILE]`.

Krippendorff's alpha of each domain. The writer said which values, rights and duties are at stake and on which side, but
not how clearly; names drawn from other situations, which the writer never saw there, count as not at stake for him.

- stake: the two readers on the scale 0, 1, 2, over all names, the drawn ones included (ordinal).
- at stake: writer and readers, at stake or not, over the same names (nominal).
- side: writer and readers, `+`, `-` or `~`, over the names that the writer gave; who finds one not at stake
  is left out.
- answer: writer and readers, Support, Oppose or Either.
- letter: writer and readers, A to D; what chance gives is worked out within each question, where values may choose
  alike.

A row tells all that was written, what two readers say without the writer, or what is kept. What is kept agrees more
because disagreement is what is dropped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.agreement import Scales, alpha, coincidences
from benchmarks.reports import command_line, table, write_report
from training.domain_suites import DOMAINS, DRAWN, LETTERS, STANCES, Label, Written, left_out, load_written
from vispa.versions import versions

SIDES = ("+", "-", "~")
COLUMNS = ("stake", "at stake", "side", "answer", "letter")


def ratings(labels: Iterable[Label], scale: Sequence[str], *, writer: bool = True) -> Scales:
    """[N, R] what writer and readers said, as places on a scale; −1 for what is not on it."""
    rows = [(one.written, one.first, one.second)[not writer :] for one in labels]
    return np.array([[scale.index(said) if said in scale else -1 for said in row] for row in rows], dtype=np.intp)


def _parts(labels: Iterable[Label], part: slice) -> list[Label]:
    """Labels of names with a part of what readers said: the scale or the side; the writer told no scale."""
    return [
        Label(one.kind, one.item, one.entry, one.written, one.first[part], one.second[part]) for one in labels
    ]  # fmt: skip


def agreement(written: Written, *, writer: bool = True, kept: bool = False, without: Iterable[str] = ()) -> list[float]:
    """The figures of `COLUMNS`.

    Args:
        written: a domain's labels.
        writer: whether the writer counts as one of the readers.
        kept: only what the readers confirm, and the names drawn.
        without: situations and questions to leave out.
    """
    out = set(without)
    labels = [
        one for one in written.labels if one.item not in out and (not kept or one.is_kept or one.written == DRAWN)
    ]  # fmt: skip
    names, answers, letters = ([one for one in labels if one.kind == kind] for kind in "GTV")
    scales = ratings(_parts(names, slice(1)), "012", writer=False)
    at_stake = (scales > 0).astype(np.intp)
    if writer:
        at_stake = np.column_stack([at_stake, [one.written != DRAWN for one in names]])
    own = [one for one in _parts(names, slice(1, None)) if one.written != DRAWN]
    questions = [[one for one in letters if one.item == item] for item in dict.fromkeys(one.item for one in letters)]
    return [
        alpha(coincidences(scales, 3), ordinal=True),
        alpha(coincidences(at_stake, 2)),
        alpha(coincidences(ratings(own, SIDES, writer=writer), 3)),
        alpha(coincidences(ratings(answers, STANCES, writer=writer), 3)),
        alpha(*(coincidences(ratings(one, LETTERS, writer=writer), 4) for one in questions)),
    ]


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Domain → row → column → alpha."""
    found = {}
    for domain in DOMAINS:
        written = load_written(domain)
        rows = {
            "all": agreement(written),
            "all, readers alone": agreement(written, writer=False),
            "kept": agreement(written, kept=True, without=left_out(domain)),
        }
        found[domain] = {name: dict(zip(COLUMNS, figures, strict=True)) for name, figures in rows.items()}
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Print the table; gives its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser.parse_args(given)
    found = measure()
    rows = [
        [domain, name, *(f"{figures[column]:.2f}" for column in COLUMNS)]
        for domain, own in found.items()
        for name, figures in own.items()
    ]
    print(table(["domain", "", *COLUMNS], rows))
    command = command_line("benchmarks.domain_agreement", given)
    write_report(asked.json, {"command": command, "versions": versions(), "alpha": found})
    return found


if __name__ == "__main__":
    main()
