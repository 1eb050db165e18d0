"""The package's metrics as Inspect scorers, for answers of any model or solver.

As in `vispa.evaluation.scoring`, an answer that cannot be read is as wrong as can be. Samples that
end in an error are Inspect's to count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, mean, metric, scorer, stderr
from inspect_ai.solver import TaskState

from vispa.bridges.together import Together
from vispa.errors import VispaError, check_choice
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.base import Scoring
from vispa.evaluation.metrics.coverage import Coverage, response_lengths
from vispa.evaluation.metrics.likeness import Cosines
from vispa.evaluation.runs.folder import ItemRecord
from vispa.generation.letters import letter_masses
from vispa.generation.thoughts import without_thoughts
from vispa.items.item import Item
from vispa.modes.answers import read_letter
from vispa.once import once
from vispa.readers.base import Unfinished, Unweighable
from vispa.readers.weighing import weighed
from vispa.request import LETTERS

#: Where a solver leaves a `MethodAnswer` in a sample's store, as JSON can say it.
ANSWER = "vispa_answer"
# Figures of coverage that need all samples.
_CONTROLLED = (
    "cosine_beyond_text", "cosine_above_chance", "cosine_same_length", "cosine_same_length_shuffled",
    "cosine_mean_shuffled",
)  # fmt: skip


@metric(scores="unreduced")
def lengths() -> Metric:
    """Mean sentences and words of the answers: coverage grows with them."""

    def figures(scores: list[SampleScore]) -> dict[str, float]:
        found = response_lengths([score.score.answer or "" for score in scores])
        return {name: float(own.mean()) for name, own in found.items()} if scores else {}

    return figures


@metric(scores="unreduced")
def controlled_likeness() -> Metric:
    """Means of what length cannot buy, over all samples at once: see `vispa.evaluation.metrics.controlled`.

    Inspect asks for it again and again while samples come in; each text is embedded once.
    """

    def figures(scores: list[SampleScore]) -> dict[str, float]:
        if not scores:
            return {}
        items = [sample_item(score.sample_metadata or {}) for score in scores]
        records = [
            ItemRecord(id=item.id, text=item.text, response=score.score.answer)
            for item, score in zip(items, scores, strict=True)
        ]
        found = Coverage().judged(items, records, Scoring(), _cosines(), "embedding").scores
        return {name: float(values.mean()) for name, values in found.items() if name in _CONTROLLED}

    return figures


@once
def _cosines() -> Cosines:
    """Those of all calls, which embed each text once."""
    from vispa.models.encoder import load_encoder

    return Cosines(load_encoder())


@scorer(metrics=[mean(), stderr(), lengths(), controlled_likeness()])
def embedding_likeness() -> Scorer:
    """See `vispa.evaluation.metrics.coverage.embedding_likenesses`."""
    from vispa.evaluation.metrics.coverage import embedding_likenesses
    from vispa.models.encoder import load_encoder

    encoder = load_encoder()
    return _coverage(lambda responses, gold: embedding_likenesses(responses, gold, encoder))


@metric(scores="unreduced")
def entailment_figures() -> Metric:
    """See `vispa.evaluation.metrics.coverage.EntailmentCoverage`."""

    def figures(scores: list[SampleScore]) -> dict[str, float]:
        import numpy as np

        from vispa.evaluation.metrics.coverage import summarize_entailment

        if not scores:
            return {}
        found = summarize_entailment(np.array([score.score.as_float() for score in scores]), "")
        return found.model_dump(exclude={"n", "judge"})

    return figures


@scorer(metrics=[entailment_figures(), lengths()])
def entailment_coverage(model: str | None = None) -> Scorer:
    """See `vispa.evaluation.metrics.coverage.entailment_scores`; judged by the published model unless one is named."""
    from vispa.evaluation.metrics.coverage import entailment_scores
    from vispa.models.nli import PUBLISHED_JUDGE, NliJudge

    judge = NliJudge(model or PUBLISHED_JUDGE)
    return _coverage(lambda responses, gold: entailment_scores(responses, gold, judge))


@metric(scores="unreduced")
def stance_agreement() -> Metric:
    """See `vispa.evaluation.metrics.agreement.stance_figures`; without Either the names begin with `binary_`."""

    def figures(scores: list[SampleScore]) -> dict[str, float]:
        from vispa.evaluation.metrics.agreement import stance_figures

        if not scores:
            return {}
        gold = [(score.sample_metadata or {})["label"] for score in scores]
        answers = [score.score.answer for score in scores]
        found = stance_figures(gold, [LETTERS.index(answer) if answer else None for answer in answers])
        binary = found.binary.model_dump(exclude={"n"}) if found.binary else {}
        return found.three_way.model_dump(exclude={"n"}) | {f"binary_{name}": value for name, value in binary.items()}

    return figures


@scorer(metrics=[stance_agreement()])
def chosen_stance() -> Scorer:
    """Whether the chosen option is the gold label."""

    async def score(state: TaskState, target: Target) -> Score:
        _, record = _answered(state)
        return Score(value=float(record.answer == target.text), answer=record.answer)

    return score


@scorer(metrics=[mean(), stderr()])
def likeliest_option() -> Scorer:
    """See `vispa.evaluation.metrics.distribution.most_likely_agreements`."""

    async def score(state: TaskState, target: Target) -> Score:
        figures, letter = _scored(state, "most-likely")
        return Score(value=figures["most_likely"], answer=letter)

    return score


@scorer(metrics={"*": [mean(), stderr()]})
def option_distribution() -> Scorer:
    """See `vispa.evaluation.metrics.distribution`."""
    return _scores_of("distribution")


@scorer(metrics={"*": [mean(), stderr()]})
def item_scores(metric: str) -> Scorer:
    """The scores of a metric that has no scorer of its own here, sample by sample."""
    return _scores_of(metric)


def scorer_of(metric: str, judge: str) -> Scorer:
    """The scorer of a task.

    Args:
        metric: the task's; one of `vispa.evaluation.metrics.METRICS`.
        judge: of Overton coverage: embedding, nli or nli:MODEL.

    Raises:
        InputError: another judge.
    """
    if metric == "coverage":
        kind, _, model = judge.partition(":")
        check_choice("judge", kind, tuple(METRICS[metric].judges))
        return embedding_likeness() if kind == "embedding" else entailment_coverage(model or None)
    own = {"agreement": chosen_stance, "most-likely": likeliest_option, "distribution": option_distribution}
    return own[metric]() if metric in own else item_scores(metric)


def sample_item(metadata: Mapping[str, Any]) -> Item:
    """The item that a sample was made of."""
    return Item.model_validate({name: metadata[name] for name in Item.model_fields})


def _coverage(judge: Callable[[Sequence[str], Sequence[Sequence[str]]], Any]) -> Scorer:
    """A scorer of responses; samples that end together are judged together."""
    scores: Together[tuple[str, Sequence[str]], float] = Together(
        lambda pairs: judge(*zip(*pairs, strict=True)).tolist()
    )

    async def score(state: TaskState, target: Target) -> Score:
        item, record = _answered(state)
        response = record.response or ""
        return Score(value=await scores((response, item.explanations)), answer=response)

    return score


def _scores_of(metric: str) -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        figures, answer = _scored(state, metric)
        return Score(value=dict(figures), answer=answer)

    return score


def _scored(state: TaskState, metric: str) -> tuple[dict[str, float], str | None]:
    """One sample's scores by a metric without a judge, and its letter or response."""
    item, record = _answered(state)
    scored = METRICS[metric].score([item], [record], Scoring(), None)
    answer = record.answer if item.options else record.response
    return {name: float(values[0]) for name, values in scored.scores.items()}, answer


def _answered(state: TaskState) -> tuple[Item, ItemRecord]:
    """A sample's item with what a solver left in the store, or with what the model's output says."""
    item = sample_item(state.metadata)
    answer = state.store.get(ANSWER)
    if answer is None:
        text, count = without_thoughts(state.output.completion), len(item.options)
        if text is None:
            raise VispaError(f"item {item.id!r}: {Unfinished().reason}")
        position = read_letter(text, count, item.options) if count else None
        letter = None if position is None else LETTERS[position]
        answer = {"response": text, "answer": letter, "distribution": _letter_shares(state.output, count)}
    return item, ItemRecord(id=item.id, text=item.text, **answer)


def _letter_shares(output: ModelOutput, count: int) -> tuple[float, ...] | None:
    """Shares of the options by the output's first token, where that is a letter; else the written answer counts."""
    logprobs = output.choices[0].logprobs if output.choices else None
    first = logprobs.content[0] if logprobs and logprobs.content else None
    if first is None or not first.top_logprobs or not count:
        return None
    masses = letter_masses(((one.token, math.exp(min(one.logprob, 0.0))) for one in first.top_logprobs), count)
    shares = weighed(masses)
    return None if isinstance(shares, Unweighable) else tuple(shares.tolist())
