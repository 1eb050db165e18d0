"""Coverage of gold explanations by a response: by entailment, or by likeness of embeddings.

The two are different figures and never comparable. Published coverage is by entailment; the one
by embeddings is for machines that cannot run such a model, and has names of its own throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from vispa.errors import InputError
from vispa.evaluation.clusters import texts_of
from vispa.evaluation.intervals import Interval, bootstrap_statistic
from vispa.evaluation.metrics.base import (
    Check,
    CheckWords,
    FloatArray,
    Metric,
    Progress,
    Records,
    Scored,
    Scoring,
)
from vispa.evaluation.metrics.controlled import beyond_scores, controlled_scores, other_places
from vispa.evaluation.metrics.coverage_figures import COVERED_ABOVE, FIGURES
from vispa.evaluation.metrics.likeness import Cosines, Entailments, Judge, Tables, mean_best
from vispa.evaluation.runs.folder import ItemRecord
from vispa.items.item import Item
from vispa.models.encoder import Encoder, load_encoder
from vispa.models.sentences import split_sentences
from vispa.records import Record


class EntailmentCoverage(Record):
    """Overton coverage as published.

    Attributes:
        n: number of situations.
        judge: name of the model that judged entailment.
        entailment_mean: mean over situations of their entailment scores.
        entailment_deviation: standard deviation of the scores (divided by n).
        covered_share: share of situations with a score above `COVERED_ABOVE`.
    """

    n: int
    judge: str
    entailment_mean: float
    entailment_deviation: float
    covered_share: float


class EmbeddingLikeness(Record):
    """How near responses come to gold explanations in meaning. This is not entailment coverage.

    Attributes:
        n: number of situations.
        encoder: name of the sentence encoder.
        cosine_mean: mean over situations of their likeness.
        cosine_deviation: standard deviation of the likenesses (divided by n).
    """

    n: int
    encoder: str
    cosine_mean: float
    cosine_deviation: float


def entailment_scores(
    responses: Sequence[str],
    explanations: Sequence[Sequence[str]],
    judge: Judge,
    progress: Callable[[int], None] | None = None,
) -> FloatArray:
    """Entailment score of each situation, [N].

    For each gold explanation e the greatest P(entailment | premise e, hypothesis s) over the
    sentences s of the response; their mean over the explanations. An empty response scores 0.

    Args:
        responses: N responses.
        explanations: the gold explanations of each.
        judge: of entailment.
        progress: called with the number of pairs just judged.

    Raises:
        InputError: no situation, unequal numbers, or a situation without explanations.
    """
    return _scores(responses, explanations, Entailments(judge, progress))


def entailment_coverage(
    responses: Sequence[str],
    explanations: Sequence[Sequence[str]],
    judge: Judge,
    progress: Callable[[int], None] | None = None,
) -> EntailmentCoverage:
    """Overton coverage of N responses; see `entailment_scores`."""
    scores = entailment_scores(responses, explanations, judge, progress)
    return summarize_entailment(scores, judge.name)


def summarize_entailment(scores: FloatArray, judge: str) -> EntailmentCoverage:
    """The figures of entailment scores, [N], that `judge` gave."""
    return EntailmentCoverage(
        n=len(scores),
        judge=judge,
        entailment_mean=float(scores.mean()),
        entailment_deviation=float(scores.std()),
        covered_share=float((scores > COVERED_ABOVE).mean()),
    )


def embedding_likenesses(
    responses: Sequence[str],
    explanations: Sequence[Sequence[str]],
    encoder: Encoder,
    progress: Callable[[int], None] | None = None,
) -> FloatArray:
    """Likeness of each situation's response to its gold explanations, [N].

    For each explanation the greatest cosine between its embedding and those of the response's
    sentences, not below 0; their mean over the explanations. An empty response has 0.

    Args:
        responses: N responses.
        explanations: the gold explanations of each.
        encoder: of sentences, such as `vispa.models.encoder.load_encoder()`.
        progress: called with the number of texts just encoded.

    Raises:
        InputError: see `entailment_scores`.
    """
    return _scores(responses, explanations, Cosines(encoder, progress))


def embedding_coverage(
    responses: Sequence[str],
    explanations: Sequence[Sequence[str]],
    encoder: Encoder,
    progress: Callable[[int], None] | None = None,
) -> EmbeddingLikeness:
    """Likeness of N responses to their gold explanations; see `embedding_likenesses`."""
    scores = embedding_likenesses(responses, explanations, encoder, progress)
    return EmbeddingLikeness(
        n=len(scores), encoder=encoder.name, cosine_mean=float(scores.mean()), cosine_deviation=float(scores.std())
    )


def _scores(responses: Sequence[str], explanations: Sequence[Sequence[str]], tables: Tables) -> FloatArray:
    """Mean over a situation's explanations of the best sentence, [N]."""
    sentences = _sentences(responses, explanations)
    tables.read(zip(explanations, sentences, strict=True))
    return np.array([mean_best(tables(gold, said)) for gold, said in zip(explanations, sentences, strict=True)])


def _sentences(responses: Sequence[str], explanations: Sequence[Sequence[str]]) -> list[list[str]]:
    """Sentences of each response, after a check that there is one response for each situation."""
    if len(responses) != len(explanations):
        raise InputError("responses", f"has {len(responses)} for {len(explanations)} situations.", "Give one for each.")
    if not responses:
        raise InputError("responses", "holds none.", "Give at least one.")
    for number, gold in enumerate(explanations):
        if not gold:
            raise InputError(f"explanations[{number}]", "is empty.", "Leave the situation out.")
    return [split_sentences(response) for response in responses]


# ---------------------------------------------------------------- the metric

_ADVICE = (
    "Responses hardly say what the gold explanations say: look at which values are selected and whether comments "
    "speak of the situation."
)
_CHANCE_ADVICE = (
    "The answers are no nearer to their own situation's explanations than to those of other situations: what coverage "
    "they have is length, general talk, or the situation restated, so do not report it."
)
# Least mean score of each judge's figure; the two share no threshold.
_LEAST = {"entailment_mean": 0.15, "cosine_mean": 0.3}
# The headline of each judge.
_ABOVE_CHANCE = ("entailment_above_chance", "cosine_beyond_text")
# Other situations that each answer is scored against: vectors are at hand, while an NLI model judges each pair anew.
_SHUFFLES = {"embedding": 10, "nli": 1}


class Coverage(Metric):
    """Coverage of gold explanations by Overton responses; a response that is missing or empty scores 0."""

    name = "coverage"
    modes = ("overton",)
    needs = ("explanations",)
    figures = FIGURES
    judges: ClassVar = {"nli": "entailment under the NLI model", "embedding": "likeness under the sentence encoder"}
    check_words: ClassVar = {
        "low coverage": CheckWords("mean score of the responses", shared_detail=True),
        "chance level": CheckWords("lower end of the interval of what is above chance", shared_detail=True),
    }
    budget = 3

    def problem(self, item: Item) -> tuple[str, str] | None:
        """Explanations are of the values, one each."""
        if item.vrd and len(item.vrd) != len(item.explanations):
            return f"has {len(item.vrd)} values and {len(item.explanations)} explanations.", "Give one for each value."
        return None

    def is_readable(self, item: Item, record: ItemRecord) -> bool:
        """Whether there is a response."""
        return bool((record.response or "").strip())

    def score(self, items: Sequence[Item], records: Records, how: Scoring, progress: Progress | None) -> Scored:
        """See `entailment_scores`, `embedding_likenesses`, `controlled_scores`; without a judge there are no scores."""
        if how.judge == "none":
            return Scored()
        kind, _, model = how.judge.partition(":")
        tables, judge = _tables(kind, model, progress)
        return self.judged(items, records, how, tables, f"{kind}:{judge}")

    def judged(self, items: Sequence[Item], records: Records, how: Scoring, tables: Tables, judge: str) -> Scored:
        """As `score`, by tables that are at hand.

        Args:
            items: N items, a method's after another's.
            records: of the N answers.
            how: but for its judge.
            tables: compare sentences and explanations.
            judge: `embedding:NAME` or `nli:NAME`, of the tables.
        """
        kind = judge.partition(":")[0]
        # All methods at once: what they share, the explanations above all, is judged or encoded once.
        responses = ["" if record is None else record.response or "" for record in records]
        prefix = {"embedding": "cosine", "nli": "entailment"}[kind]
        mean = _scores(responses, [item.explanations for item in items], tables)
        situations = {item.id: (item.text, item.explanations) for item in items}
        places = {identifier: place for place, identifier in enumerate(situations)}
        own, gold = [places[item.id] for item in items], [explanations for _, explanations in situations.values()]
        others = other_places(len(places), _SHUFFLES[kind] if how.shuffles is None else how.shuffles, how.seed)
        budget = how.budget or self.budget
        found = controlled_scores(responses, own, gold, others, budget, tables)
        if isinstance(tables, Cosines) and others.size:
            found["beyond_text"] = beyond_scores(responses, own, list(situations.values()), others, budget, tables)
        scores = {f"{prefix}_{name}": values for name, values in (found | {"mean": mean}).items()}
        if kind == "nli":
            scores["covered_share"] = (mean > COVERED_ABOVE).astype(float)
        scores |= response_lengths(responses)
        ordered = {one.name: scores[one.name] for one in self.figures if one.name in scores}
        return Scored(ordered, judge, budget, others.shape[1])

    def intervals(
        self, items: Sequence[Item], records: Records, scores: Mapping[str, FloatArray], seed: int
    ) -> dict[str, Interval]:
        """Means, and the standard deviation of the judge's score."""
        figures = super().intervals(items, records, scores, seed)
        for name in ("entailment", "cosine"):
            if f"{name}_mean" in scores:
                figures[f"{name}_deviation"] = bootstrap_statistic(
                    lambda sample: float(sample.std()), scores[f"{name}_mean"], clusters=texts_of(items), seed=seed
                )
        return {one.name: figures[one.name] for one in self.figures if one.name in figures}

    def checks(
        self, items: Sequence[Item], figures: Mapping[str, Interval], limits: Mapping[str, float]
    ) -> Iterator[Check]:
        """Whether responses hardly cover anything, and whether they are ahead of chance."""
        judged = next((name for name in _LEAST if name in figures), None)
        name = judged or next(iter(_LEAST))
        figure = None if judged is None else figures[judged].estimate
        limit = limits.get(name, _LEAST[name])
        yield Check("low coverage", figure, limit, "below", _ADVICE, judged or "scored without a judge")
        above = next((name for name in _ABOVE_CHANCE if name in figures), None)
        low, limit = (None, 0.0) if above is None else (figures[above].low, limits.get(above, 0.0))
        unscored = "not scored against other situations" if judged else "scored without a judge"
        yield Check("chance level", low, limit, "below", _CHANCE_ADVICE, above or unscored)

    def outdated(self, figures: Collection[str]) -> str:
        """Lengths and figures of the same length came later than coverage."""
        if "length_words" in figures or not any(name in figures for name in _LEAST):
            return ""
        return "the answers' length, coverage under the same length for all, and what chance gives"


def response_lengths(responses: Sequence[str]) -> dict[str, FloatArray]:
    """Sentences and words of N responses, each [N]."""
    return {
        "length_sentences": np.array([float(len(split_sentences(text))) for text in responses]),
        "length_words": np.array([float(len(text.split())) for text in responses]),
    }


def _tables(kind: str, model: str, progress: Progress | None) -> tuple[Tables, str]:
    """What compares sentences and explanations, and the name of its model."""
    if kind == "embedding":
        encoder = load_encoder()
        return Cosines(encoder, progress), encoder.name
    from vispa.models.nli import NliJudge

    judge = NliJudge(model)
    return Entailments(judge, progress), judge.name
