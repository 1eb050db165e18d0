"""What adapters learn from: sentences of pairs, the model's own comments, or written ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vispa.files.tables import read_table
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoder import Encoder
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.study.expression import asked_situations, measure_expressions
from vispa.study.known import tuning_pairs
from vispa.study.personas import persona_situations
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy
from vispa.tuning.examples import Example, chosen_examples
from vispa.tuning.situations import development_situations

#: Kinds of lessons, in words.
KINDS = {
    "pairs": "positive sentences of the pairs, as comments on nothing in particular",
    "own": "the model's own best comments, steered or asked as a persona",
    "written": "comments that were written for it",
}

WRITTEN = Path(__file__).parents[1] / "data" / "written_comments.csv"

# What the sentences of pairs comment on.
_NOTHING = "Nothing in particular."


def spread(count: int, most: int) -> list[int]:
    """Places of at most so many of some things, evenly over all: pairs stand in their file by form."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]


def pair_lessons(loaded: LoadedModel, taxonomy: Taxonomy, values: Sequence[str], most: int) -> list[list[Example]]:
    """For each value the positive sentences of so many pairs."""
    prompt = asked_situations(loaded, [_NOTHING])[0].plain
    lessons = []
    for place, value in enumerate(values):
        positive = taxonomy.sentences(value)[0]
        lessons.append([Example(place, prompt, positive[number]) for number in spread(len(positive), most)])
    return lessons


def own_lessons(
    loaded: LoadedModel,
    bank: VectorBank,
    taxonomy: Taxonomy,
    values: Sequence[str],
    encoder: Encoder,
    *,
    situations: int,
    tokens: int,
) -> list[list[Example]]:
    """For each value the model's best comments on development situations, as refined directions learn from.

    The model is steered by its recipe, a little stronger, and asked as a persona; a judge that learnt from half of the
    pairs chooses. A value none of whose comments is good enough has no lesson.

    Args:
        loaded: the model.
        bank: with its recipe.
        taxonomy: of all values, which the judge tells apart.
        values: to comment for.
        encoder: of the judge.
        situations: the first so many development situations.
        tokens: longest comment.
    """
    texts = development_situations()[:situations]
    judge = ValueJudge(encoder, tuning_pairs(taxonomy))
    engine, sampling = TransformersEngine(loaded, bank), Sampling(tokens)
    plain = asked_situations(loaded, texts)
    unsteered, steered = measure_expressions(engine, judge, plain, values, (None, bank.recipe), sampling=sampling)
    personas = persona_situations(loaded, [taxonomy[value] for value in values], texts)
    (asked,) = measure_expressions(engine, judge, personas, values, (None,), sampling=sampling)
    found = chosen_examples((steered, asked), unsteered, plain, 2 * situations)
    return [[one for one in found if one.value == place] for place in range(len(values))]


def written_examples(loaded: LoadedModel, values: Sequence[str]) -> list[Example]:
    """The comments of `data/written_comments.csv` for these values, in its order, one a situation and value."""
    rows = [row.fields for row in read_table(WRITTEN, ("situation", "value", "comment")).rows]
    texts = list(dict.fromkeys(row["situation"] for row in rows))
    prompts = dict(zip(texts, asked_situations(loaded, texts), strict=True))
    places = {value: place for place, value in enumerate(values)}
    return [
        Example(places[row["value"]], prompts[row["situation"]].plain, row["comment"])
        for row in rows
        if row["value"] in places
    ]


def written_lessons(loaded: LoadedModel, values: Sequence[str]) -> list[list[Example]]:
    """For each value its `written_examples`."""
    examples = written_examples(loaded, values)
    return [[one for one in examples if one.value == place] for place in range(len(values))]


def fewer(lessons: Sequence[Sequence[Example]], most: int) -> list[list[Example]]:
    """At most so many of each value: evenly spread, or the first where they stand best first."""
    return [[own[place] for place in spread(len(own), most)] for own in lessons]
