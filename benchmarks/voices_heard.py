"""Which values an answer lets be heard, exactly: by the corpus grammar, each sentence is of one value's voice.

An act's gold values are those that support or oppose it. One is covered if the response holds a sentence of that
value's voice; strictly covered if the sentence also argues the value's stance to the act. Precision is the share of the
response's sentences that speak in the voice of a gold value.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from training.judge import Judge
from training.sources import Scene, Sources
from vispa.evaluation.metrics.controlled import expected_best, other_places
from vispa.evaluation.metrics.coverage import Coverage

FloatArray = npt.NDArray[np.float64]

#: Sentences of every answer that count where the length is the same, as in evaluation.
BUDGET = Coverage.budget
#: Other situations that an answer is held against.
SHUFFLES = 10


def gold_values(scene: Scene) -> frozenset[str]:
    """The values that support or oppose the act."""
    return frozenset(value for value, stance in scene.stances.items() if stance != "either")


def overton_scores(
    sentences: Sequence[str], scene: Scene, judge: Judge, sources: Sources
) -> tuple[float, float, float]:
    """Coverage, strict coverage and precision of one response, exact by the grammar; see the module."""
    gold = gold_values(scene)
    owners = [judge.judge(sentence).values for sentence in sentences]
    covered = gold & frozenset().union(*owners)
    strict = [v for v in gold if set(sentences) & set(sources.voices[v].reasons(scene.stance(v)))]
    fitting = sum(bool(owner & gold) for owner in owners)
    return len(covered) / len(gold), len(strict) / len(gold), fitting / len(sentences) if sentences else 0.0


def same_length(sentences: Sequence[str], scene: Scene, judge: Judge, budget: int = BUDGET) -> float:
    """Expected share of an act's gold values in whose voice one of `budget` sentences drawn without return speaks.

    What is repeated word for word counts once.
    """
    return _expected(_owners(sentences, judge), gold_values(scene), budget)


def same_length_scores(
    responses: Sequence[Sequence[str]], scenes: Sequence[Scene], judge: Judge, seed: int = 0
) -> dict[str, FloatArray]:
    """What N responses have at the same length, and what the same sentences have of other acts' gold values.

    Args:
        responses: the sentences of each.
        scenes: the acts that they are of.
        judge: of sentences.
        seed: of which other acts stand for chance.
    """
    gold = [gold_values(scene) for scene in scenes]
    owners = [_owners(said, judge) for said in responses]
    own = np.array([_expected(one, values, BUDGET) for one, values in zip(owners, gold, strict=True)])
    others = other_places(len(scenes), SHUFFLES, seed)
    chance = np.array(
        [np.mean([_expected(one, gold[at], BUDGET) for at in row]) for one, row in zip(owners, others, strict=True)]
    )
    return {"same length": own, "same length, other acts": chance, "above chance": own - chance}


def _owners(sentences: Sequence[str], judge: Judge) -> list[frozenset[str]]:
    return [judge.judge(sentence).values for sentence in dict.fromkeys(sentences)]


def _expected(owners: Sequence[Collection[str]], gold: Collection[str], budget: int) -> float:
    table = [[float(value in own) for own in owners] for value in sorted(gold)]
    return float(expected_best(np.array(table).reshape(len(table), len(owners)), budget).mean())
