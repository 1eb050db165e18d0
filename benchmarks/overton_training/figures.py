"""How much of what is at stake answers say: likeness to explanations, and by the corpus grammar exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.overton_training.answers import Answer
from benchmarks.reports import told
from benchmarks.voices_heard import BUDGET, SHUFFLES, overton_scores, same_length
from training.judge import Judge
from training.sources import Scene, Sources
from vispa.evaluation.intervals import bootstrap_mean, paired_difference
from vispa.evaluation.metrics.controlled import beyond_scores, controlled_scores, other_places
from vispa.evaluation.metrics.coverage import embedding_likenesses
from vispa.evaluation.metrics.likeness import Cosines
from vispa.items.item import Item
from vispa.models.encoder import Encoder
from vispa.models.sentences import split_sentences

FloatArray = npt.NDArray[np.float64]
#: Figure → scores of N situations.
Scores = Mapping[str, FloatArray]


def grammar_scores(answers: Sequence[Answer], scenes: Sequence[Scene], sources: Sources) -> dict[str, FloatArray]:
    """What answers to acts say of the values that support or oppose them, by the grammar's own sentences."""
    judge = Judge(sources)
    rows = [
        (*overton_scores(one.sentences, scene, judge, sources), same_length(one.sentences, scene, judge))
        for one, scene in zip(answers, scenes, strict=True)
    ]
    columns = ("gold heard", "gold stances heard", "precision", "gold heard, same length")
    return {**dict(zip(columns, np.array(rows).T, strict=True)), **lengths([one.text for one in answers])}


def likeness_scores(
    answers: Mapping[str, Sequence[Answer]], items: Sequence[Item], encoder: Encoder, seed: int = 0
) -> dict[str, dict[str, FloatArray]]:
    """Way → what its answers have of the explanations of situations, as published and under the same length.

    Args:
        answers: of each way to the N items.
        items: with their explanations.
        encoder: of sentences.
        seed: of which other situations stand for chance.
    """
    gold = [item.explanations for item in items]
    situations = [(item.text, item.explanations) for item in items]
    others, cosines = other_places(len(items), SHUFFLES, seed), Cosines(encoder)
    places = list(range(len(items)))
    found = {}
    for way, own in answers.items():
        texts = [one.text for one in own]
        scores = controlled_scores(texts, places, gold, others, BUDGET, cosines)
        found[way] = {
            "as published": embedding_likenesses(texts, gold, encoder),
            "same length": scores["same_length"],
            "other situations": scores["same_length_shuffled"],
            "above chance": scores["above_chance"],
            "beyond the text": beyond_scores(texts, places, situations, others, BUDGET, cosines),
            **lengths(texts),
        }
    return found


def lengths(texts: Sequence[str]) -> dict[str, FloatArray]:
    """Sentences and words of each text."""
    return {
        "sentences": np.array([float(len(split_sentences(text))) for text in texts]),
        "words": np.array([float(len(text.split())) for text in texts]),
    }


def intervals(scores: Scores) -> dict[str, dict[str, float]]:
    """The mean of every figure with its 95 % bootstrap interval over situations."""
    return {name: told(bootstrap_mean(values)) for name, values in scores.items()}


def difference(first: FloatArray, second: FloatArray) -> dict[str, float | str]:
    """What the first is ahead of the second on the same situations, with its interval, and who is ahead in a word."""
    found = paired_difference(dict(enumerate(first.tolist())), dict(enumerate(second.tolist())))
    words = "ahead" if found.low > 0 else "behind" if found.high < 0 else "not told apart"
    return {"difference": found.difference, "low": found.low, "high": found.high, "words": words}
