"""Answers from comments that come from elsewhere than steering: personas' and other models'.

The stages that read comments know each by the slug of a value. Voices get a taxonomy of their
own, one entry a comment, so that the same stages serve them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.runs.folder import CommentRecord, MethodAnswer
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.modes.case import Aggregator, Case
from vispa.modes.distributional import DistributionalAnswer, mix, read_comments
from vispa.modes.mixture import Mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.picking import EmbeddingPicker
from vispa.modes.stances import read_stances
from vispa.modes.steerable import Picker, SteerableAnswer, SteerableMode
from vispa.readers.base import Failure
from vispa.records import Comment, Stance
from vispa.taxonomy import Taxonomy, Value


def answer_from_voices(bench: Bench, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
    """Answers aggregated from voices as VISPA's are from steered comments (section 3.3 of the paper).

    Distributional mode takes the plain mean over the voices: weights of values mean nothing here.

    Args:
        bench: of the run; its pipeline's reader, aggregator and picker read the comments.
        items: N of one mode.
        voices: at least one for each item.
    """
    if not items:
        return []
    cases, taxonomy = _cases(bench, items, voices)
    if items[0].mode == "overton":
        overton = _aggregator(bench, taxonomy).aggregate(cases)
        answers = [_failed(a) if isinstance(a, Failure) else MethodAnswer(response=a.response) for a in overton]
    elif items[0].mode == "steerable":
        mode = SteerableMode(bench.vispa.reader, _picker(bench, taxonomy), bench.wording)
        answers = [_failed(a) if isinstance(a, Failure) else _option_answer(a) for a in mode.answer(cases)]
    else:
        answers = []
        read = read_comments(bench.vispa.reader, cases, bench.wording)
        for case, by_voice in zip(cases, read, strict=True):
            if isinstance(by_voice, Failure):
                answers.append(_failed(by_voice))
            else:
                names = [comment.value for comment in case.comments]
                answers.append(_option_answer(mix(case, names, [1.0] * len(names), by_voice, Mixture())))
    return [with_voices(answer, spoken) for answer, spoken in zip(answers, voices, strict=True)]


def with_voices(answer: MethodAnswer, voices: Sequence[Voice]) -> MethodAnswer:
    """The answer with the comments it was made from."""
    comments = tuple(
        CommentRecord(value=None, text=voice.text, source=voice.source, prompt=voice.prompt, tokens=voice.tokens)
        for voice in voices
    )
    return answer.model_copy(update={"comments": comments, "tokens": sum(voice.tokens for voice in voices)})


def where_spoken(
    items: Sequence[Item],
    spoken: Sequence[Sequence[Voice] | Failure],
    answer: Callable[[Sequence[Item], Sequence[Sequence[Voice]]], list[MethodAnswer]],
) -> list[MethodAnswer]:
    """Answers to the items with voices, all in one call; the others' failures in between."""
    present = {i: voices for i, voices in enumerate(spoken) if not isinstance(voices, Failure)}
    found = dict(zip(present, answer([items[i] for i in present], list(present.values())), strict=True))
    return [
        MethodAnswer(error=voices.reason) if isinstance(voices, Failure) else found[i]
        for i, voices in enumerate(spoken)
    ]


def _cases(bench: Bench, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> tuple[list[Case], Taxonomy]:
    """The items with their voices as comments, and the taxonomy whose values these are."""
    stances = iter(_stances(bench, items, voices))
    cases, values = [], []
    for number, (item, spoken) in enumerate(zip(items, voices, strict=True)):
        comments = []
        for place, voice in enumerate(spoken):
            slug = f"voice {number} {place}"
            values.append(Value(slug, voice.name, "voices", voice.source))
            comments.append(
                Comment(
                    value=slug,
                    text=voice.text,
                    shift={},
                    prompt="",
                    tokens=voice.tokens,
                    stance=next(stances, {}),
                    steered=False,
                )
            )
        cases.append(item_case(item, tuple(comments), own_stances=bench.own_stances))
    return cases, Taxonomy(values, {})


def _stances(bench: Bench, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[dict[Stance, float]]:
    """Where each comment stands, by the unsteered model; needed for a response of the comments' own sentences."""
    if items[0].mode != "overton" or not isinstance(bench.vispa.aggregator, ExtractiveAggregator):
        return []
    texts = [item.text for item, spoken in zip(items, voices, strict=True) for _ in spoken]
    comments = [voice.text for spoken in voices for voice in spoken]
    return read_stances(bench.reader, texts, comments, bench.wording)


def _aggregator(bench: Bench, voices: Taxonomy) -> Aggregator:
    """The pipeline's aggregator; one that names values names the voices instead."""
    own = bench.vispa.aggregator
    return ExtractiveAggregator(voices) if isinstance(own, ExtractiveAggregator) else own


def _picker(bench: Bench, voices: Taxonomy) -> Picker:
    """The pipeline's picker; one that reads definitions of values reads the voices' sources instead."""
    own = bench.vispa.picker
    return EmbeddingPicker(own.encoder, voices) if isinstance(own, EmbeddingPicker) else own


def _option_answer(found: SteerableAnswer | DistributionalAnswer) -> MethodAnswer:
    return MethodAnswer(response=found.response, answer=found.answer, distribution=found.distribution)


def _failed(failure: Failure) -> MethodAnswer:
    return MethodAnswer(error=failure.reason)
