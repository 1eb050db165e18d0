"""Vanilla, prompting and VISPA where the truth is known: `python -m benchmarks.controlled [--limit N] [--json FILE]`.

The corpus grammar says which of the 31 values support an act, which oppose it, and which do
neither. On acts that the embedded model was not trained on (their wordings are new, their kinds
are not), this gives exact answers to compare with:

- Overton: an act's gold values are those that support or oppose it. One is covered if the response
  holds a sentence of that value's voice; strictly covered if the sentence also argues the value's
  stance to the act. Precision is the share of the response's sentences that speak in the voice of
  a gold value. The lead sentence of the extractive aggregator is taken out. Coverage grows with the number of
  sentences, so it is also given of three sentences of every response, drawn at random (exactly, over all draws), and
  beside that what the same sentences cover of other acts' gold values. One row has the six values that a reader (a
  language model, which saw the acts and the values' definitions alone) chose: what one reader's choice reaches.
- Steerable: three targets an act, one of each stance, so that chance is one third; an answer
  that changes with the order of the options, and has no clear lead, counts as wrong.
- Distributional: populations with drawn weights over the values vote by the values' stances. All
  figures are of the second half of the acts; mixtures are fitted on the first half.

Vanilla and prompting are the same model, unsteered. Next to their one text they get as many
samples at temperature 1 as VISPA has comments, aggregated in the same way, so that the lengths are
equal. Prompting uses the wordings that the model was trained on. Intervals are 95 % bootstrap
intervals over acts; those of the total variation are over populations.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.stance_shift import (
    SAMPLING,
    STANCES,
    FloatArray,
    drawn_values,
    held_out_acts,
    named_prompts,
    option_table,
    options_read,
    stance_prompts,
)
from benchmarks.voices_heard import gold_values, overton_scores, same_length_scores
from training.judge import Judge
from training.sources import Scene, Sources, load_sources
from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.files.tables import read_table
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import chat_prompt
from vispa.modes.case import Case
from vispa.modes.commenting import commented, marked
from vispa.modes.mixture import jensen_shannon
from vispa.modes.mixture_fitting import Example, fit_mixture
from vispa.modes.readings import Reading
from vispa.modes.repeats import bundled_encode
from vispa.modes.templates import filled
from vispa.pipeline import Vispa
from vispa.readers.base import Failure
from vispa.records import Claim, Comment, OvertonResponse, Selection
from vispa.request import DEFAULT_K, Request

Figures = dict[str, dict[str, Interval]]
BoolArray = npt.NDArray[np.bool_]
#: The six values that a reader found most at stake in each held-out act, without seeing what the grammar says.
READ = Path(__file__).parent / "data" / "read_acts.csv"

#: Acts used by default: four of each kind.
ACTS = 128
POPULATIONS = 8
#: Of the Dirichlet distribution that populations are drawn from; below 1 a few values weigh most.
CONCENTRATION = 0.3

# The grammar's sentences end in these and hold none of them inside.
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


# ---------------------------------------------------------------- the truth


def votes(scenes: Sequence[Scene], values: Sequence[str]) -> FloatArray:
    """[E, V, 3], one-hot: each value's stance to each act."""
    places = [[STANCES.index(scene.stance(value)) for value in values] for scene in scenes]
    return np.asarray(np.eye(len(STANCES))[np.array(places)])


def populations(count: int, values: int, seed: int = 0) -> FloatArray:
    """Weights [P, V] drawn from a symmetric Dirichlet distribution."""
    return np.random.default_rng(seed).dirichlet(np.full(values, CONCENTRATION), count)


# ---------------------------------------------------------------- scores


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, as the grammar ends them."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


def target_accuracy(tables: FloatArray, undecided: BoolArray | None = None) -> FloatArray:
    """[E] share of an act's three targets whose likeliest option is the gold one.

    Args:
        tables: [E, 3, 3], the options' probabilities for the supporting, opposing and undecided target.
        undecided: [E, 3], answers that count as wrong, as VISPA refuses them.
    """
    right = tables.argmax(-1) == np.arange(len(STANCES))
    return np.asarray((right if undecided is None else right & ~undecided).mean(1), dtype=np.float64)


def distances(predicted: FloatArray, gold: FloatArray) -> FloatArray:
    """[E] mean over populations of the Jensen–Shannon distances of [P, E, 3], or of one prediction [E, 3] for all."""
    return np.asarray(jensen_shannon(np.broadcast_to(predicted, gold.shape), gold).mean(0))


def mixed(weights: FloatArray, by_value: FloatArray) -> FloatArray:
    """[P, E, 3]: the values' distributions [E, V, 3] under each population's weights [P, V]."""
    return np.asarray(np.einsum("pv,evo->peo", weights, by_value))


def fitted_weights(by_value: FloatArray, gold: FloatArray, values: Sequence[str]) -> FloatArray:
    """Weights [P, V] fitted to each population's distributions.

    Args:
        by_value: [E, V, 3] of the development acts.
        gold: [P, E, 3].
        values: slugs of the V values.
    """
    fits = [
        fit_mixture([Example(one, answer) for one, answer in zip(by_value, row, strict=True)], values, folds=2)
        for row in gold
    ]
    return np.array([[fit.shares[value] for value in values] for fit in fits])


def total_variation(first: FloatArray, second: FloatArray) -> FloatArray:
    """[P] half the summed absolute differences of weights [P, V]."""
    return np.asarray(np.abs(first - second).sum(-1) / 2)


# ---------------------------------------------------------------- what the methods say


@dataclass(frozen=True)
class Outputs:
    """What the methods say about E acts; each part is made when first asked for.

    All methods need the steered comments of the same rows, so every value's comment on every act
    is written once; greedy decoding makes them the ones that `Vispa.respond_many` writes.
    """

    vispa: Vispa
    sources: Sources
    scenes: Sequence[Scene]

    @property
    def values(self) -> tuple[str, ...]:
        """Slugs of the V values."""
        return tuple(self.vispa.taxonomy)

    @property
    def texts(self) -> list[str]:
        """The acts in words."""
        return [scene.text for scene in self.scenes]

    @cached_property
    def scores(self) -> FloatArray:
        """[E, V] relevance by the selector."""
        return np.asarray(self.vispa.selector.scores(self.texts), dtype=np.float64)

    @cached_property
    def selected(self) -> list[list[int]]:
        """For each act the numbers of the values that VISPA selects by default."""
        return [[int(v) for v in np.argsort(-row, kind="stable")[:DEFAULT_K]] for row in self.scores]

    @cached_property
    def comments(self) -> list[list[Comment]]:
        """[E][V] steered comments with their stances."""
        every = tuple(Selection(value=value, score=1.0) for value in self.values)
        requests, selections = [Request(text) for text in self.texts], [every] * len(self.texts)
        found = commented(
            requests, selections, self.vispa.engine, self.vispa.prompts, SAMPLING, bundled_encode, self.vispa.stances
        )
        return [list(case.comments) for case in found if not isinstance(case, Failure)]

    @cached_property
    def read(self) -> FloatArray:
        """[E, V, 3] stances of the steered comments as the unsteered model reads them, disputed ones too."""
        return self._table(self._comments_read)

    @cached_property
    def own(self) -> FloatArray:
        """[E, V, 3] options of the steered model itself, disputed ones too."""
        return self._table(self._own_options)

    @cached_property
    def named(self) -> FloatArray:
        """[E, V, 3] options of the unsteered model, asked for the named value's stance, disputed ones too."""
        return self._table(self._named)

    @cached_property
    def undecided(self) -> dict[str, BoolArray]:
        """[E, V] for each table that reads values: which answers change with the order of the options."""
        shape = len(self.texts), len(self.values)
        readings = {"read": self._comments_read, "own": self._own_options, "named": self._named}
        return {name: np.array([one.disputed for one in found]).reshape(shape) for name, found in readings.items()}

    def _table(self, found: Sequence[Reading]) -> FloatArray:
        table = np.stack([one.distribution for one in found])
        return table.reshape(len(self.texts), len(self.values), len(STANCES))

    @cached_property
    def _comments_read(self) -> list[Reading]:
        texts = [text for text in self.texts for _ in self.values]
        comments = [comment.text for row in self.comments for comment in row]
        return options_read(self.vispa, stance_prompts(self.vispa, texts, comments))

    @cached_property
    def _own_options(self) -> list[Reading]:
        prompts = stance_prompts(self.vispa, [text for text in self.texts for _ in self.values])
        return options_read(self.vispa, prompts, self.vispa.bank, self.values * len(self.texts))

    @cached_property
    def _named(self) -> list[Reading]:
        texts = [text for text in self.texts for _ in self.values]
        prompts = named_prompts(self.sources, texts, self.values * len(self.texts))
        return options_read(self.vispa, prompts)

    @cached_property
    def vanilla(self) -> FloatArray:
        """[E, 3] options of the unsteered model, asked for its own stance, disputed ones too."""
        return np.stack([one.distribution for one in self._vanilla])

    @cached_property
    def _vanilla(self) -> list[Reading]:
        return options_read(self.vispa, stance_prompts(self.vispa, self.texts))

    @property
    def vanilla_undecided(self) -> BoolArray:
        """[E]: whether the unsteered model's answer changes with the order of the options."""
        return np.array([one.disputed for one in self._vanilla])

    @cached_property
    def diverse(self) -> list[str]:
        """The unsteered model's one text for each act, asked for many values."""
        return [row[0] for row in self.write(lambda text: [filled(self.vispa.prompts.diverse, text=text)])]

    @cached_property
    def read_values(self) -> list[list[int]] | None:
        """For each act the numbers of the values that a reader chose; None where any act was not read."""
        places = {value: number for number, value in enumerate(self.values)}
        rows = {row.fields["act"]: row.fields["values"].split() for row in read_table(READ, ("act", "values")).rows}
        known = [rows.get(text) for text in self.texts]
        return None if None in known else [[places[value] for value in row or ()] for row in known]

    def write(self, messages: Callable[[str], Sequence[str]], temperature: float = 0.0) -> list[list[str]]:
        """For each act the unsteered model's texts to its messages; the i-th message is sampled with seed i."""
        asked = [messages(text) for text in self.texts]
        rows = [Row(chat_prompt(self.vispa.model, m), seed=i) for row in asked for i, m in enumerate(row)]
        texts = iter(self.vispa.engine.generate(rows, Sampling(SAMPLING.max_new_tokens, temperature)))
        return [[next(texts).text for _ in row] for row in asked]

    def aggregated(self, comments: Sequence[Sequence[Comment]]) -> list[list[str]]:
        """For each act the sentences of the extractive response, without its lead."""
        # Repetitions are told among the comments of one response.
        rows = marked(comments, bundled_encode)
        cases = [Case(text, row) for text, row in zip(self.texts, rows, strict=True)]
        answers = self.vispa.aggregator.aggregate(cases)
        return [
            [sentence for claim in quoted(answer) for sentence in sentences_of(claim.text)]
            for answer in answers
            if isinstance(answer, OvertonResponse)
        ]

    def pooled(self, texts: Sequence[Sequence[str]]) -> list[list[str]]:
        """The same for unsteered texts."""
        # The aggregator wants a value and stance for headings and lead, which are left out here.
        blank = {"value": self.values[0], "shift": {}, "prompt": "", "tokens": 0, "stance": dict.fromkeys(STANCES, 0.0)}
        return self.aggregated([[Comment.model_validate({**blank, "text": one}) for one in row] for row in texts])


def quoted(answer: OvertonResponse) -> list[Claim]:
    """What a response quotes from its comments, without what it says about them."""
    return [one for one in answer.claims if any(one.text in answer.comments[i].text for i in one.comments)]


# ---------------------------------------------------------------- the three modes


def overton_sentences(outputs: Outputs) -> dict[str, list[list[str]]]:
    """For each method and act the sentences of its response."""
    prompts, labels, values = outputs.vispa.prompts, outputs.sources.labels, outputs.values
    selected = dict(zip(outputs.texts, outputs.selected, strict=True))
    plain, diverse = prompts.comment, prompts.diverse

    def of_values(chosen: Sequence[Sequence[int]]) -> list[list[str]]:
        return outputs.aggregated([[row[v] for v in own] for row, own in zip(outputs.comments, chosen, strict=True)])

    read = outputs.read_values
    by_reader = {} if read is None else {f"VISPA, a reader's {DEFAULT_K} values": of_values(read)}

    def voiced(text: str) -> list[str]:
        return [filled(prompts.voiced, text=text, value=labels[values[v]]) for v in selected[text]]

    return {
        "vanilla, one text": [sentences_of(row[0]) for row in outputs.write(lambda t: [plain.format(text=t)])],
        f"vanilla, {DEFAULT_K} samples": outputs.pooled(
            outputs.write(lambda t: [plain.format(text=t)] * DEFAULT_K, temperature=1.0)
        ),
        "prompting for many values, one text": [sentences_of(text) for text in outputs.diverse],
        f"prompting for many values, {DEFAULT_K} samples": outputs.pooled(
            outputs.write(lambda t: [diverse.format(text=t)] * DEFAULT_K, temperature=1.0)
        ),
        f"prompting for each of VISPA's {DEFAULT_K} values": outputs.pooled(outputs.write(voiced)),
        f"VISPA, {DEFAULT_K} selected values": of_values(outputs.selected),
        **by_reader,
        "VISPA, gold values given (upper bound)": outputs.aggregated(
            [
                [comment for comment in row if comment.value in gold_values(scene)]
                for row, scene in zip(outputs.comments, outputs.scenes, strict=True)
            ]
        ),
    }


def overton(outputs: Outputs) -> Figures:
    """Coverage, strict coverage and precision of every method, coverage at the same length, and lengths."""
    judge = Judge(outputs.sources)
    figures = {}
    for name, responses in overton_sentences(outputs).items():
        pairs = list(zip(responses, outputs.scenes, strict=True))
        scores = np.array([overton_scores(said, scene, judge, outputs.sources) for said, scene in pairs])
        columns = dict(zip(("coverage", "strict coverage", "precision"), scores.T, strict=True))
        columns |= same_length_scores(responses, outputs.scenes, judge)
        columns["sentences"] = np.array([float(len(said)) for said in responses])
        columns["words"] = np.array([float(sum(len(one.split()) for one in said)) for said in responses])
        figures[name] = {column: bootstrap_mean(values) for column, values in columns.items()}
    return figures


def steerable(outputs: Outputs) -> Figures:
    """Accuracy of every method, balanced over the three stances; an answer that is not read is wrong."""
    targets = [[outputs.values.index(v) for v in row] for row in drawn_values(outputs.scenes, outputs.values)]
    places = np.array(targets)
    acts = np.arange(len(places))[:, None]
    undecided = {kind: marks[acts, places] for kind, marks in outputs.undecided.items()}
    # It is asked once, whatever the target.
    vanilla, unread = (np.repeat(one[:, None], 3, axis=1) for one in (outputs.vanilla, outputs.vanilla_undecided))
    rows = {
        "vanilla (at most one third: it knows no target)": (vanilla, unread),
        "prompting, value named in the question": (outputs.named[acts, places], undecided["named"]),
        "VISPA, steered comment read": (outputs.read[acts, places], undecided["read"]),
        "VISPA, steered model's own options": (outputs.own[acts, places], undecided["own"]),
    }
    return {
        name: {
            "accuracy": bootstrap_mean(target_accuracy(table, marks)),
            "not read": bootstrap_mean(marks.mean(1)),
        }
        for name, (table, marks) in rows.items()
    }


def distributional(outputs: Outputs, count: int = POPULATIONS) -> tuple[Figures, Figures]:
    """Distance of every method to populations that vote by the grammar, and the recovery of their weights.

    The second table's populations vote by the model's own distributions; there the weights can be found.
    """
    values = outputs.values
    weights = populations(count, len(values))
    half = len(outputs.scenes) // 2
    gold = mixed(weights, votes(outputs.scenes, values))
    test = gold[:, half:]
    # Prompting in words for many values gives one text, and that text's reading one distribution.
    prompted = option_table(outputs.vispa, stance_prompts(outputs.vispa, outputs.texts, outputs.diverse))
    six = np.stack([row[chosen].mean(0) for row, chosen in zip(outputs.read, outputs.selected, strict=True)])
    singles = {
        "always one third": np.full_like(outputs.vanilla, 1 / 3),
        "vanilla": outputs.vanilla,
        "prompting for many values": prompted,
        f"VISPA, comments of {DEFAULT_K} selected values read, mean": six,
    }
    figures: Figures = {name: {"distance": bootstrap_mean(distances(p[half:], test))} for name, p in singles.items()}
    recovery: Figures = {}
    sources = {
        "prompting, each value named": outputs.named,
        "VISPA, comments read": outputs.read,
        "VISPA, own options": outputs.own,
    }
    for name, by_value in sources.items():
        fitted = fitted_weights(by_value[:half], gold[:, :half], values)
        shares = {"mean": np.full_like(weights, 1 / len(values)), "true weights": weights, "fitted weights": fitted}
        for kind, share in shares.items():
            figures[f"{name}, {kind}"] = {"distance": bootstrap_mean(distances(mixed(share, by_value[half:]), test))}
        figures[f"{name}, fitted weights"]["total variation"] = bootstrap_mean(total_variation(fitted, weights))
        if name.startswith("VISPA"):
            recovery[name] = recovered(by_value, weights, values)
    return figures, recovery


def recovered(by_value: FloatArray, weights: FloatArray, values: Sequence[str]) -> dict[str, Interval]:
    """How well fitting finds the weights of populations made of these very distributions.

    Args:
        by_value: [E, V, 3]; fitted on the first half, judged on the second.
        weights: [P, V], the truth.
        values: slugs.
    """
    half = len(by_value) // 2
    gold = mixed(weights, by_value)
    fitted = fitted_weights(by_value[:half], gold[:, :half], values)
    equal = np.full_like(weights, 1 / len(values))
    return {
        "total variation": bootstrap_mean(total_variation(fitted, weights)),
        "distance, fitted": bootstrap_mean(distances(mixed(fitted, by_value[half:]), gold[:, half:])),
        "distance, mean": bootstrap_mean(distances(mixed(equal, by_value[half:]), gold[:, half:])),
    }


# ---------------------------------------------------------------- the report


def not_beaten(
    figures: Mapping[str, Mapping[str, Interval]], column: str, *, lower: bool = False
) -> dict[str, list[str]]:
    """For each VISPA row the baselines whose interval is not wholly on the worse side of its own.

    Args:
        figures: by method.
        column: which figure.
        lower: whether less is better.
    """

    def beats(one: Interval, other: Interval) -> bool:
        return one.high < other.low if lower else one.low > other.high

    ours = {name: row[column] for name, row in figures.items() if name.startswith("VISPA")}
    baselines = {name: row[column] for name, row in figures.items() if not name.startswith("VISPA")}
    return {
        name: [other for other, theirs in baselines.items() if not beats(interval, theirs)]
        for name, interval in ours.items()
    }


def _print(title: str, figures: Figures, verdict: dict[str, list[str]] | None = None) -> None:
    print(f"\n{title}")
    for name, row in figures.items():
        cells = (f"{key} {one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" for key, one in row.items())
        print(f"  {name:<58} " + "  ".join(cells))
    for name, others in (verdict or {}).items():
        print(f"  {name}: " + (f"does NOT clearly beat {'; '.join(others)}" if others else "beats every baseline"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=ACTS, help=f"use the first N acts ({ACTS})")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    if options.limit < 4:
        parser.error("--limit: give at least 4 acts, two to fit mixtures on and two to judge them")
    started = time.perf_counter()
    sources = load_sources()
    outputs = Outputs(Vispa.embedded(), sources, held_out_acts(sources, options.limit))
    count = len(outputs.scenes)
    print(f"{count} held-out acts, {len(outputs.values)} values, greedy where not said otherwise; 95 % intervals")
    first = overton(outputs)
    _print("Overton coverage by the grammar (higher is better)", first, not_beaten(first, "coverage"))
    second = steerable(outputs)
    _print("Steerable accuracy over three balanced stances (higher is better)", second, not_beaten(second, "accuracy"))
    third, recovery = distributional(outputs)
    _print(
        f"Jensen–Shannon distance to {POPULATIONS} populations voting by the grammar, on {count - count // 2} acts "
        "(lower is better)",
        third,
        not_beaten(third, "distance", lower=True),
    )
    _print("Populations made of the model's own distributions: are the weights found?", recovery)
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.json:
        tables = {"overton": first, "steerable": second, "distributional": third, "recovery": recovery}
        dumped = {
            t: {m: {k: i.model_dump() for k, i in row.items()} for m, row in f.items()} for t, f in tables.items()
        }
        options.json.write_text(json.dumps({"acts": count, **dumped}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
