"""Does steering toward a value move the stance to an act the way the value stands? On acts not trained on.

    python -m benchmarks.stance_shift

For each held-out act one value is drawn that, by the corpus grammar, supports it, and one that
opposes it. The model is steered toward each. A case counts as moved if the probability of Support
(of Oppose) is higher than the unsteered model's. Two ways to read the stance: the steered model's
own options, and the unsteered model's reading of the steered comment (against its reading of the
unsteered comment). The control steers along random vectors as long as the values' own. Intervals
are 95 % bootstrap intervals over acts. The acts' wordings are new; their kinds are not.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.expression import with_random_vectors
from training.sources import Scene, Sources, Stance, load_acts, load_sources
from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt
from vispa.modes.case import Case
from vispa.modes.questions import lettered, option_prompt
from vispa.modes.readings import Reading, read_steered
from vispa.modes.templates import filled
from vispa.pipeline import Vispa
from vispa.readers.base import Failure
from vispa.request import STANCE_OPTIONS, OptionReadingName
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Steer

FloatArray = npt.NDArray[np.float64]

HELD_OUT = Path(__file__).parent / "data" / "held_out_acts.csv"
#: In the order of the options Support, Oppose, Either.
STANCES: tuple[Stance, ...] = ("support", "oppose", "either")
SAMPLING = Sampling(64)

_RANDOM_SEEDS = (0, 1, 2)


def held_out_acts(sources: Sources, limit: int | None = None, seed: int = 0) -> list[Scene]:
    """The held-out acts with their slots filled: one act of each kind, then a second of each, and so on.

    So the first half of a few rounds holds the same kinds as the second.

    Args:
        sources: fill `{someone}`.
        limit: keep the first so many.
        seed: of the order and the filling.
    """
    rng = random.Random(seed)
    acts = list(load_acts(HELD_OUT))
    rng.shuffle(acts)
    seen: dict[int | None, int] = {}
    rounds = []
    for act in acts:
        rounds.append(seen.get(act.kind, 0))
        seen[act.kind] = rounds[-1] + 1
    ordered = [act for _, act in sorted(zip(rounds, acts, strict=True), key=lambda pair: (pair[0], pair[1].kind or 0))]
    return spoken(ordered, sources, rng)[:limit]


def spoken(acts: Sequence[Scene], sources: Sources, rng: random.Random | None = None) -> list[Scene]:
    """Acts as sentences, with somebody in the place of `{someone}`."""
    rng = rng or random.Random(0)
    filled = [act.text.replace("{someone}", rng.choice(sources.phrases.someone)) for act in acts]
    return [replace(act, text=text[:1].upper() + text[1:]) for act, text in zip(acts, filled, strict=True)]


def values_of(scene: Scene, stance: Stance, values: Sequence[str]) -> list[str]:
    """The values that by the grammar take the stance to the scene, in their order."""
    return [value for value in values if scene.stance(value) == stance]


def drawn_values(scenes: Sequence[Scene], values: Sequence[str], seed: int = 0) -> list[tuple[str, str, str]]:
    """For each act a value that supports it, one that opposes it, and one that does neither."""
    rng = random.Random(seed)
    drawn = []
    for scene in scenes:
        support, oppose, either = (rng.choice(values_of(scene, stance, values)) for stance in STANCES)
        drawn.append((support, oppose, either))
    return drawn


def stance_prompts(vispa: Vispa, texts: Sequence[str], passages: Sequence[str] | None = None) -> list[str]:
    """The question for the stance to each text, with a comment as a passage or without."""
    comments: Sequence[str | None] = passages or [None] * len(texts)
    return [
        option_prompt(Case(text, ()), vispa.prompts, comment) for text, comment in zip(texts, comments, strict=True)
    ]


def named_prompts(sources: Sources, texts: Sequence[str], values: Sequence[str]) -> list[str]:
    """Questions for the stance to each text of the value that is named for it."""
    wording, options = sources.phrases.choice["named"][0], lettered(STANCE_OPTIONS)
    return [
        wording.format(situation=text, value=sources.labels[value], options=options)
        for text, value in zip(texts, values, strict=True)
    ]


def options_read(
    vispa: Vispa,
    prompts: Sequence[str],
    bank: VectorBank | None = None,
    values: Sequence[str] | None = None,
    reading: OptionReadingName | None = None,
) -> list[Reading]:
    """How the model answers stance questions by its option reading, as the product reads it.

    Args:
        vispa: whose model, recipe and wording.
        prompts: N questions with the options Support, Oppose and Either.
        bank: of the vectors that steer; unsteered without.
        values: of each question, the value that it is steered toward.
        reading: of the options; the model's own by default.

    Raises:
        RuntimeError: a question has no answer.
    """
    engine = vispa.engine if bank is None else TransformersEngine(vispa.model, bank, vispa.recipe)
    steers = [()] * len(prompts) if bank is None or values is None else [(Steer(value),) for value in values]
    found = read_steered(engine, reading, steers, prompts, [STANCE_OPTIONS] * len(prompts), vispa.prompts)
    for one in found:
        if isinstance(one, Failure):
            raise RuntimeError(one.reason)
    return [one for one in found if isinstance(one, Reading)]


def option_table(
    vispa: Vispa, prompts: Sequence[str], bank: VectorBank | None = None, values: Sequence[str] | None = None
) -> FloatArray:
    """Probabilities [N, 3] of Support, Oppose and Either, of disputed answers too; see `options_read`."""
    return np.stack([one.distribution for one in options_read(vispa, prompts, bank, values)])


def sided(vispa: Vispa, scenes: Sequence[Scene]) -> tuple[list[str], list[str]]:
    """Texts and values of 2 N cases: each act toward a value that supports it, then one that opposes it."""
    drawn = drawn_values(scenes, tuple(vispa.taxonomy))
    values = [value for support, oppose, _ in drawn for value in (support, oppose)]
    return [scene.text for scene in scenes for _ in range(2)], values


def own_options(vispa: Vispa, scenes: Sequence[Scene], bank: VectorBank) -> FloatArray:
    """[N, 2, 3]: the options of the model itself, steered with the bank toward the cases of `sided`."""
    texts, values = sided(vispa, scenes)
    return option_table(vispa, stance_prompts(vispa, texts), bank, values).reshape(len(scenes), 2, len(STANCES))


def written_comments(
    vispa: Vispa, texts: Sequence[str], bank: VectorBank | None = None, values: Sequence[str] | None = None
) -> list[str]:
    """Greedy comments on the texts, steered with the bank toward each text's value, or unsteered."""
    steers = [()] * len(texts) if values is None else [(Steer(value),) for value in values]
    asked = [chat_prompt(vispa.model, filled(vispa.prompts.comment, text=text)) for text in texts]
    rows = [Row(prompt, steer) for prompt, steer in zip(asked, steers, strict=True)]
    return [one.text for one in TransformersEngine(vispa.model, bank, vispa.recipe).generate(rows, SAMPLING)]


def moved(before: FloatArray, after: FloatArray) -> FloatArray:
    """[N, 2] of 0 and 1: whether Support, and whether Oppose, became more probable; no change is no move.

    Args:
        before: [N, 3] of the unsteered model.
        after: [N, 2, 3] steered toward the supporting and toward the opposing value.
    """
    return np.stack([after[:, i, i] > before[:, i] for i in range(2)], axis=1).astype(np.float64)


def right(after: FloatArray) -> FloatArray:
    """[N, 2] of 0 and 1: whether the likeliest of the options [N, 2, 3] is Support, and Oppose."""
    return np.asarray(after.argmax(-1) == np.arange(2), dtype=np.float64)


def figures(before: FloatArray, after: Sequence[FloatArray]) -> dict[str, Interval]:
    """Shares with intervals over acts.

    Args:
        before: [N, 3].
        after: [N, 2, 3], one for each set of vectors; their cases are averaged within an act.
    """
    moves = np.mean([moved(before, one) for one in after], axis=0)
    return {
        "moved": bootstrap_mean(moves.mean(1)),
        "moved to support": bootstrap_mean(moves[:, 0]),
        "moved to oppose": bootstrap_mean(moves[:, 1]),
        "accuracy": bootstrap_mean(np.mean([right(one) for one in after], axis=0).mean(1)),
    }


def measure(
    vispa: Vispa, scenes: Sequence[Scene], seeds: Sequence[int] = _RANDOM_SEEDS
) -> dict[str, dict[str, Interval]]:
    """The figures of every row of the table.

    Args:
        vispa: the model, its bank and recipe.
        scenes: N acts.
        seeds: of the random vectors; comments are written with those of the first one only.
    """
    texts = [scene.text for scene in scenes]
    twice, values = sided(vispa, scenes)
    noise = [with_random_vectors(vispa.bank, vispa.recipe, seed) for seed in seeds]

    def by_act(table: FloatArray) -> FloatArray:
        return table.reshape(len(scenes), 2, len(STANCES))

    def alone(bank: VectorBank) -> FloatArray:
        return own_options(vispa, scenes, bank)

    def passage(bank: VectorBank) -> FloatArray:
        comments = written_comments(vispa, twice, bank, values)
        return by_act(option_table(vispa, stance_prompts(vispa, twice, comments)))

    plain = option_table(vispa, stance_prompts(vispa, texts))
    plain_read = option_table(vispa, stance_prompts(vispa, texts, written_comments(vispa, texts)))
    return {
        "own options: not steered": figures(plain, [np.stack([plain, plain], axis=1)]),
        "own options: steered": figures(plain, [alone(vispa.bank)]),
        "own options: random vectors": figures(plain, [alone(bank) for bank in noise]),
        "comment read: not steered": figures(plain_read, [np.stack([plain_read, plain_read], axis=1)]),
        "comment read: steered": figures(plain_read, [passage(vispa.bank)]),
        "comment read: random vectors": figures(plain_read, [passage(bank) for bank in noise[:1]]),
    }


def shown(interval: Interval) -> str:
    """A share with its interval, in per cent."""
    return f"{interval.estimate:6.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="use the first N acts only")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    scenes = held_out_acts(load_sources(), options.limit)
    print(f"{len(scenes)} held-out acts, one supporting and one opposing value each; 95 % intervals over acts")
    found = measure(Vispa.embedded(), scenes)
    for name, row in found.items():
        print(f"{name:<30} " + "  ".join(f"{key} {shown(interval)}" for key, interval in row.items()))
    print("An unsteered model has nothing to move; its accuracy over both cases is at most one half.")
    if options.json:
        table = {name: {key: one.model_dump() for key, one in row.items()} for name, row in found.items()}
        options.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
