"""Coverage that length cannot buy: a budget of sentences, and what chance gives under the same budget.

The best of many sentences is near an explanation by chance alone, so coverage by the best sentence grows with the
length of an answer, whatever it answers. Two things undo it:

- *The same number of sentences for all.* Of an answer count n sentences, drawn at random without replacement: the
  figure is the mean over all such draws, exactly. Further sentences are no further chances, and one that says
  nothing takes the place of one that does. What is repeated counts once, and a sentence of more than 30 words as
  several, so that neither saying the best twice nor leaving out full stops is worth much.
- *Chance.* The same answer, under the same budget, against the explanations of other situations. What is left after
  subtracting that is what the answer says about its own.

An embedding also finds near what only names the same things. Likeness *beyond the text* looks at what explanations add
to the situation's own text, so that restating it is worth nothing.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from vispa.evaluation.metrics.likeness import Cosines, Tables, mean_best
from vispa.models.sentences import split_sentences

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Longest sentence, in words, that counts as one; those of the published explanations have 20 on average.
LONGEST_SENTENCE = 30
_WORDS = re.compile(r"\w+")


def expected_best(table: FloatArray, budget: int) -> FloatArray:
    """Expected greatest number among `budget` of a row's numbers, drawn without replacement, [rows].

    With a row in ascending order, x₁ ≤ … ≤ xₘ, the greatest of n drawn ones is xₖ in C(k−1, n−1) of the C(m, n)
    draws. Where there are no more numbers than the budget all are taken; without any it is 0.

    Args:
        table: [rows, numbers].
        budget: n, at least 1.
    """
    numbers = table.shape[1]
    return np.sort(table, axis=1) @ _shares(numbers, min(budget, numbers)) if numbers else np.zeros(len(table))


@cache
def _shares(numbers: int, budget: int) -> FloatArray:
    """C(k−1, n−1) / C(m, n) for k = 1 to m: how often the k-th smallest of m is the greatest of n, [m].

    By the ratio of neighbours from the greatest down, so that no binomial is ever computed.
    """
    shares = np.zeros(numbers)
    share = budget / numbers
    for k in range(numbers, budget - 1, -1):
        shares[k - 1] = share
        share *= (k - budget) / max(1, k - 1)
    return shares


def counted_sentences(text: str) -> list[str]:
    """The sentences of a text as a budget counts them.

    One of more than `LONGEST_SENTENCE` words is cut into as few equal parts as keep to that. One that repeats the words
    of another, in whatever case and with whatever signs, is left out: the best would otherwise be drawn the more often
    the more often it is said.
    """
    found: dict[tuple[str, ...], str] = {}
    for sentence in split_sentences(text):
        for part in _parts(sentence):
            found.setdefault(tuple(_WORDS.findall(part.casefold())) or (part,), part)
    return list(found.values())


def _parts(sentence: str) -> list[str]:
    words = sentence.split()
    count = math.ceil(len(words) / LONGEST_SENTENCE)
    if count <= 1:
        return [sentence]
    ends = [round(len(words) * part / count) for part in range(count + 1)]
    return [" ".join(words[start:end]) for start, end in itertools.pairwise(ends)]


def other_places(count: int, shuffles: int, seed: int) -> IntArray:
    """For each of some situations the places of others, [count, shuffles]; fewer columns where there are not so many.

    All situations stand in a circle in random order, and each column is the circle turned by another random step: no
    situation meets itself, none meets another one twice, and each is met equally often.

    Args:
        count: number of situations.
        shuffles: how many others each meets.
        seed: of order and steps.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(count)
    steps = generator.permutation(np.arange(1, count))[:shuffles]
    found = np.empty((count, len(steps)), dtype=np.int64)
    found[order] = order[(np.arange(count)[:, None] + steps) % count]
    return found


def controlled_scores(
    responses: Sequence[str],
    own: Sequence[int],
    gold: Sequence[Sequence[str]],
    others: IntArray,
    budget: int,
    tables: Tables,
) -> dict[str, FloatArray]:
    """Scores of N responses beside the published one: under the budget, and by chance.

    Args:
        responses: N responses, of one or more methods.
        own: place in `gold` of each response's situation.
        gold: the explanations of each situation.
        others: places of other situations, [situations, shuffles]; see `other_places`.
        budget: how many sentences of each response count.
        tables: of likenesses, or of entailments.

    Returns:
        `same_length`: as published, of `budget` sentences drawn at random, [N]. Where there are other situations also
        `same_length_shuffled` and `mean_shuffled`, the mean over them of that and of the published score, and
        `above_chance`, the first minus the second.
    """
    whole, counted = [split_sentences(text) for text in responses], [counted_sentences(text) for text in responses]
    met = _met(own, others)
    tables.read((gold[at], whole[n]) for n, places in enumerate(met) for at in places[1:])
    tables.read((gold[at], counted[n]) for n, places in enumerate(met) for at in places)
    same = _same_length(counted, met, budget, lambda at, said: tables(gold[at], said))
    if not others.shape[1]:
        return {"same_length": same[:, 0]}
    plain = [[mean_best(tables(gold[at], whole[n])) for at in places[1:]] for n, places in enumerate(met)]
    chance = same[:, 1:].mean(1)
    return {
        "above_chance": same[:, 0] - chance,
        "same_length": same[:, 0],
        "same_length_shuffled": chance,
        "mean_shuffled": np.array(plain, dtype=np.float64).mean(1),
    }


def beyond_scores(
    responses: Sequence[str],
    own: Sequence[int],
    situations: Sequence[tuple[str, Sequence[str]]],
    others: IntArray,
    budget: int,
    cosines: Cosines,
) -> FloatArray:
    """What is above chance under the budget where restating the situation counts for nothing, [N].

    As `above_chance` of `controlled_scores`, of likenesses beyond each situation's own text (`Cosines.beyond`).

    Args:
        responses: N responses, of one or more methods.
        own: place in `situations` of each response's.
        situations: text and explanations of each.
        others: at least one other situation for each; see `other_places`.
        budget: how many sentences of each response count.
        cosines: of texts, explanations and sentences, read or not.
    """
    counted = [counted_sentences(text) for text in responses]
    cosines.read((explanations, (text,)) for text, explanations in situations)
    cosines.read((situations[place][1], said) for place, said in zip(own, counted, strict=True))
    same = _same_length(counted, _met(own, others), budget, lambda at, said: cosines.beyond(*situations[at], said))
    above: FloatArray = same[:, 0] - same[:, 1:].mean(1)
    return above


def _met(own: Sequence[int], others: IntArray) -> list[list[int]]:
    """Places of the situations that each response is scored against, its own first."""
    return [[place, *others[place].tolist()] for place in own]


def _same_length(
    counted: Sequence[Sequence[str]],
    met: Sequence[Sequence[int]],
    budget: int,
    table: Callable[[int, Sequence[str]], FloatArray],
) -> FloatArray:
    """Score of each response under the budget against each situation that it meets, [N, 1 + shuffles]."""
    scores = [
        [expected_best(table(at, said), budget).mean() for at in places]
        for said, places in zip(counted, met, strict=True)
    ]
    return np.array(scores, dtype=np.float64)
