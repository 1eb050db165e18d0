"""How should the embedded model be asked which option it favours? On stance questions of known answer.

    python -m benchmarks.orders

The corpus grammar says which of 31 values support, oppose or do neither to each held-out act, so every question has
a right answer: where a steered comment stands, what the steered model itself chooses, and what the unsteered model
takes a named value to choose. Each is put in every cyclic order of its options. *Letters* reads one order; *cyclic*
reads all of them as one answer, and does not answer where they disagree and none leads. Guessing is right in a third.
Intervals are 95 % bootstrap intervals over acts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.stance_shift import (
    STANCES,
    drawn_values,
    held_out_acts,
    named_prompts,
    options_read,
    stance_prompts,
    written_comments,
)
from training.sources import Scene, Sources, load_sources
from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.pipeline import Vispa
from vispa.readers.option_readings import OptionQuestion, Reading
from vispa.readers.option_readings.cyclic import cyclic_orders, over_orders, put_in
from vispa.request import STANCE_OPTIONS

#: Figure → its interval over acts.
Figures = dict[str, Interval]
#: [E, 3]: something true of each of an act's three questions.
Marks = npt.NDArray[np.bool_]


def measure(vispa: Vispa, sources: Sources, scenes: Sequence[Scene]) -> dict[str, Figures]:
    """For each kind of question how often its readings are right.

    Args:
        vispa: of the embedded model.
        sources: what the corpus is made of.
        scenes: E acts; of each three questions are asked, whose right answers are Support, Oppose and Either.
    """
    texts = [scene.text for scene in scenes for _ in STANCES]
    values = [value for row in drawn_values(scenes, tuple(vispa.taxonomy)) for value in row]
    comments = written_comments(vispa, texts, vispa.bank, values)
    return {
        "a steered comment's stance": figures(vispa, stance_prompts(vispa, texts, comments)),
        "the steered model's own": figures(vispa, stance_prompts(vispa, texts), values),
        "a named value's, unsteered": figures(vispa, named_prompts(sources, texts, values)),
    }


def figures(vispa: Vispa, asked: Sequence[str], values: Sequence[str] | None = None) -> Figures:
    """How often letters and cyclic reading are right.

    Args:
        vispa: whose model is asked.
        asked: 3 E questions; the right answers are the options in turn.
        values: of each, that the model is steered toward.
    """
    questions = [OptionQuestion(text, STANCE_OPTIONS) for text in asked]
    orders = cyclic_orders(len(STANCES))
    bank = None if values is None else vispa.bank
    in_orders = [
        options_read(vispa, [put_in(one, order).text for one in questions], bank, values, "letters") for order in orders
    ]
    # [orders, 3 E]: the option, in its own order, that each order's letters favour.
    chosen = np.array(
        [
            [order[int(one.distribution.argmax())] for one in found]
            for order, found in zip(orders, in_orders, strict=True)
        ]
    )
    together = [
        over_orders(question, list(zip(orders, found, strict=True)))
        for question, found in zip(questions, zip(*in_orders, strict=True), strict=True)
    ]
    readings = [one for one in together if isinstance(one, Reading)]
    likeliest = np.array([one.distribution.argmax() for one in readings])
    decided = ~np.array([one.disputed for one in readings])
    gold = np.arange(len(asked)) % len(STANCES)
    right = chosen == gold
    return {
        "letters, the order trained most": _share(right[0]),
        "letters, mean of all orders": bootstrap_mean(right.mean(0).reshape(-1, len(STANCES)).mean(1)),
        "moves with the order": _share((chosen != chosen[0]).any(0)),
        "cyclic": _share((likeliest == gold) & decided),
        "cyclic, not read": _share(~decided),
        "cyclic, the likeliest of those too": _share(likeliest == gold),
    }


def _share(marks: Marks) -> Interval:
    return bootstrap_mean(marks.reshape(-1, len(STANCES)).mean(1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=128, help="use the first N acts (128)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    sources = load_sources()
    scenes = held_out_acts(sources, options.limit)
    print(f"{len(scenes)} held-out acts, three questions each; share right, 95 % intervals over acts")
    found = measure(Vispa.embedded(), sources, scenes)
    for name, row in found.items():
        print(name)
        for key, one in row.items():
            print(f"  {key:<36} {one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]")
    if options.json:
        table = {name: {key: one.model_dump() for key, one in row.items()} for name, row in found.items()}
        options.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
