"""Does a model that was trained to write Overton answers reach what VISPA covers, at the same length?

    python -m benchmarks.overton_training [--steps N] [--prompts N] [--answers N] [--tokens N] [--rate R]
                                          [--penalty P] [--acts N] [--situations N] [--seed N] [--json FILE]

The embedded model is trained by GRPO (trl, in the extra `study`) to answer, asked for many values, in one text:
rewarded are the values at stake that a sentence speaks for, less how alike the sentences are, less words beyond 110.
It learns from the corpus's own situations and acts with their labels; none that is measured on is among them.

All answers are greedy. On acts of `data/held_out_acts.csv` the corpus grammar says exactly which values are heard. On
the situations of the suites of law, education, work and care, likeness to the explanations is measured as published,
under the same length for all, and above what other situations' explanations give
(`vispa.evaluation.metrics.controlled`). 95 % bootstrap intervals over acts or situations. The same seed gives the same
rewards on the same machine with as many threads. `--json` is first written after training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from benchmarks.overton_training.answers import WAYS, answers
from benchmarks.overton_training.figures import difference, grammar_scores, intervals, likeness_scores
from benchmarks.overton_training.reward import OvertonReward
from benchmarks.overton_training.section import COMPARED, section
from benchmarks.overton_training.training import Settings, check_trl, lessons, trained
from benchmarks.real_model import HELD_OUT
from benchmarks.reports import command_line, write_report
from benchmarks.stance_shift import held_out_acts
from training.domain_suites import DOMAINS
from training.sources import Scene, Sources, load_sources
from vispa.evaluation.tasks import load_task
from vispa.files.tables import read_table
from vispa.items.item import Item
from vispa.models.encoder import load_encoder
from vispa.models.loading import LoadedModel, load_model
from vispa.pipeline import Vispa
from vispa.request import EMBEDDED
from vispa.versions import versions


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    settings = Settings()
    parser.add_argument("--steps", type=int, default=settings.steps, help="of training")
    parser.add_argument("--prompts", type=int, default=settings.prompts, help="situations of a step")
    parser.add_argument("--answers", type=int, default=settings.answers, help="answers to each, at least 2")
    parser.add_argument("--tokens", type=int, default=settings.tokens, help="longest answer in training")
    parser.add_argument("--rate", type=float, default=settings.rate, help="step of AdamW")
    parser.add_argument("--penalty", type=float, default=settings.penalty, help="on leaving the model as it was")
    parser.add_argument("--seed", type=int, default=settings.seed, help="of training")
    parser.add_argument("--acts", type=int, default=128, help="the first so many held-out acts")
    parser.add_argument("--situations", type=int, default=50, help="the first so many of each domain")
    parser.add_argument("--json", type=Path, help="also write all figures here")
    parsed = parser.parse_args(given)
    least = {"steps": 1, "prompts": 1, "answers": 2, "tokens": 1, "acts": 2, "situations": 1}
    for option, low in least.items():
        if getattr(parsed, option) < low:
            parser.error(f"--{option}: give a number from {low}")
    return parsed


def domain_items(limit: int | None = None) -> list[Item]:
    """The situations of all domains with what is at stake in them explained."""
    return [item for domain in DOMAINS for item in load_task(f"domains/{domain}").items[:limit]]


def held_out(sources: Sources) -> set[str]:
    """Every text that no lesson may be."""
    rows = read_table(HELD_OUT, ("situation",)).rows
    return {
        *(scene.text for scene in held_out_acts(sources)),
        *(row.fields["situation"] for row in rows),
        *(item.text for item in domain_items()),
    }


def measured(vispa: Vispa, model: LoadedModel, sources: Sources, acts: Sequence[Scene], items: Sequence[Item]) -> Any:
    """The rows of the report, and how far the trained model is ahead of the other ways."""
    of_acts = answers(vispa, model, [scene.text for scene in acts])
    of_items = answers(vispa, model, [item.text for item in items])
    grammar = {way: grammar_scores(own, acts, sources) for way, own in of_acts.items()}
    likeness = likeness_scores(of_items, items, load_encoder())
    rows = {
        way: {
            "words": words,
            "acts": intervals(grammar[way]),
            "domains": intervals(likeness[way]),
            "examples": {acts[0].text: of_acts[way][0].text, items[0].text: of_items[way][0].text},
        }
        for way, words in WAYS.items()
    }
    sides = {"acts": grammar, "domains": likeness}
    differences = {
        way: {figure: difference(sides[side]["trained"][figure], sides[side][way][figure]) for side, figure in COMPARED}
        for way in WAYS
        if way != "trained"
    }
    return {"rows": rows, "differences": differences}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, measure and print the tables; gives the report."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    asked = _parsed(given)
    check_trl()
    sources, vispa = load_sources(), Vispa.embedded()
    settings = Settings(**{field.name: getattr(asked, field.name) for field in fields(Settings)})
    reward = OvertonReward(vispa.taxonomy, load_encoder())
    learnt = lessons(sources, held_out(sources), settings.seed)
    model = load_model(EMBEDDED, dtype="float32")
    found = trained(model, vispa.prompts, reward, learnt, settings)
    report: dict[str, Any] = {
        "model": EMBEDDED, "seed": settings.seed, "command": command_line("benchmarks.overton_training", given),
        "versions": versions("trl"), "settings": asdict(settings),
        "reward": {"hears": reward.finds([sources.voices[value].comment_sentences() for value in reward.values])},
        "training": {
            **asdict(found), "threads": torch.get_num_threads(), "lessons": len(learnt),
            "answers": settings.steps * settings.prompts * settings.answers,
        },
    }  # fmt: skip
    write_report(asked.json, report)
    acts = held_out_acts(sources, asked.acts)
    report |= measured(vispa, model, sources, acts, domain_items(asked.situations))
    write_report(asked.json, report)
    print(section(report))
    return report


if __name__ == "__main__":
    main()
