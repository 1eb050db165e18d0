"""Beyond health: selection, coverage and answers in law, education, work and care, by domain.

    python -m benchmarks.domains [--model embedded] [--methods vanilla,prompting,vispa] [--domains law,work]
                                 [--tasks overton,steerable,survey,values] [--limit N] [--situations N] [--tokens N]
                                 [--nli MODEL] [--output DIR] [--json FILE]

Selection: the values, rights and duties of a situation in the writer's own words, which both readers find at stake,
beside names drawn from other situations that both readers find not at stake. Names that the encoder learnt from in
training (`training/told_values.csv`) are left out on both sides. Selectors see name and situation alone. So it is told
how well a value in free words is found, not how well the built-in 31 are.
AUC: of an own and a drawn name of one situation, how often the own one scores higher, mean over situations. Precision:
share of own names among as many as there are of those that score highest, beside what chance gives. There are one or
two drawn names a situation, which mostly come from another topic: the figures compare selectors, and are easier to
reach than telling apart what nearly matters.

Answers: the tasks `domains/…` under each method, with the headline figures of their metrics. `chance` is always the
commonest gold answer, or equal shares of the options. The survey's gold is an equal mixture of values, not of people.

Intervals are 95 % bootstrap intervals over situations or questions. With `--output` the runs are kept, and go on;
`--json` is written anew after every task.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.domains.figures import (
    TASKS,
    cosines,
    entailments,
    headlines,
    named_situations,
    selection,
)
from benchmarks.domains.section import BUNDLED, DIFFERENCE, READS, section
from benchmarks.reports import command_line, write_report
from training.domain_suites import DOMAINS
from vispa.evaluation.methods import Bench
from vispa.evaluation.tasks import load_task
from vispa.models.encoder import load_encoder
from vispa.pipeline import Vispa
from vispa.request import EMBEDDED
from vispa.selection.adapted import load_adapted
from vispa.versions import versions


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=EMBEDDED, help="a named model, hub id or folder; none for selection alone")
    parser.add_argument("--methods", default="vanilla,prompting,vispa")
    parser.add_argument("--domains", default=",".join(DOMAINS))
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--limit", type=int, help="the first N items of each task only")
    parser.add_argument("--situations", type=int, help="select for the first N situations of each domain only")
    parser.add_argument("--tokens", type=int, default=200, help="longest comment")
    parser.add_argument("--nli", help="also select with this NLI model")
    parser.add_argument("--output", type=Path, help="keep the runs here")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parsed = parser.parse_args(given)
    for option, known in (("domains", DOMAINS), ("tasks", tuple(TASKS))):
        asked = getattr(parsed, option).split(",")
        if unknown := [one for one in asked if one not in known]:
            parser.error(f"--{option}: {', '.join(unknown)}: choose of {', '.join(known)}")
        setattr(parsed, option, asked)
    for option in ("limit", "situations"):
        if (number := getattr(parsed, option)) is not None and number < 1:
            parser.error(f"--{option}: give a number from 1")
    return parsed


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure; returns what `--json` writes, anew after every task.

    Args:
        arguments: of the command.
        folder: where the runs are.
    """
    scorers = {READS: cosines(load_adapted().encoder), BUNDLED: cosines(load_encoder())}
    if arguments.nli:
        scorers[f"nli:{arguments.nli}"] = entailments(arguments.nli)
    report: dict[str, Any] = {
        "model": "selection alone" if arguments.model == "none" else arguments.model, "seed": 0,
        "command": arguments.command, "versions": versions(), "selection": {},
    }  # fmt: skip
    for domain in arguments.domains:
        situations = named_situations(domain, arguments.situations)
        selected = {name: selection(situations, one) for name, one in scorers.items()}
        report["selection"][domain] = {name: one.figures for name, one in selected.items()}
        report["selection"][domain][DIFFERENCE] = selected[READS].less(selected[BUNDLED])
    write_report(arguments.json, report)
    if arguments.model == "none":
        return report
    bench = Bench(Vispa.from_pretrained(arguments.model), max_new_tokens=arguments.tokens, seed=report["seed"])
    report["tasks"] = {}
    for part in arguments.tasks:
        report["tasks"][part] = {}
        for domain in arguments.domains:
            name = f"{domain}{TASKS[part]}"
            print(f"{name} …", file=sys.stderr, flush=True)
            task, methods = load_task(f"domains/{name}"), arguments.methods.split(",")
            report["tasks"][part][domain] = headlines(task, methods, bench, folder / name, arguments.limit)
            write_report(arguments.json, report)
    return report


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print the tables; gives the report."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = _parsed(given)
    parsed.command = command_line("benchmarks.domains", given)
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(parsed, parsed.output or Path(temporary))
    print(section(report))
    return report


if __name__ == "__main__":
    main()
