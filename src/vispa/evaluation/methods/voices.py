"""Answers from comments that come from elsewhere than steering: personas' and other models'.

The stages that read comments know each by the slug of a value. Voices get a taxonomy of their
own, one entry a comment, so that the same stages serve them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vispa.evaluation.methods.base import Bench, read_answer
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.runs.folder import CommentRecord, MethodAnswer
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.modes import MODES
from vispa.modes.base import Parts
from vispa.modes.case import Case
from vispa.modes.mixture import Mixture
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.picking import EmbeddingPicker
from vispa.modes.refusals import refuses
from vispa.readers.base import Failure
from vispa.records import Comment, Selection, Stance
from vispa.taxonomy import Taxonomy, Value


def answer_from_voices(bench: Bench, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
    """Answers that the items' mode makes of voices as it does of steered comments (section 3.3 of the paper).

    Args:
        bench: of the run; its pipeline's reader, aggregator and picker read the comments.
        items: N of one mode.
        voices: at least one for each item.
    """
    if not items:
        return []
    cases, taxonomy = _cases(bench, items, voices)
    found = MODES[items[0].mode](_parts(bench, taxonomy)).answer(cases)
    return [with_voices(read_answer(one), spoken) for one, spoken in zip(found, voices, strict=True)]


def with_voices(answer: MethodAnswer, voices: Sequence[Voice]) -> MethodAnswer:
    """The answer with the comments it was made from."""
    comments = tuple(
        CommentRecord(
            value=None,
            text=voice.text,
            source=voice.source,
            prompt=voice.prompt,
            tokens=voice.tokens,
            refused=refuses(voice.text),
        )
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
                    refused=refuses(voice.text),
                )
            )
        case = item_case(item, tuple(comments), own_stances=bench.own_stances)
        cases.append(replace(case, values=tuple(Selection(value=one.value, score=1.0) for one in comments)))
    return cases, Taxonomy(values, {})


def _stances(bench: Bench, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[dict[Stance, float]]:
    """Where each comment stands, by the unsteered model; needed for a response of the comments' own sentences."""
    if items[0].mode != "overton" or not isinstance(bench.vispa.aggregator, ExtractiveAggregator):
        return []
    texts = [item.text for item, spoken in zip(items, voices, strict=True) for _ in spoken]
    comments = [voice.text for spoken in voices for voice in spoken]
    return bench.vispa.stances.read(texts, comments)


def _parts(bench: Bench, voices: Taxonomy) -> Parts:
    """The pipeline's parts; those that know values know the voices instead, and none weighs more than another."""
    own = bench.vispa.parts
    aggregator, picker = own.aggregator, own.picker
    if isinstance(aggregator, ExtractiveAggregator):
        aggregator = ExtractiveAggregator(voices)
    if isinstance(picker, EmbeddingPicker):
        picker = EmbeddingPicker(picker.encoder, voices)
    return replace(own, aggregator=aggregator, picker=picker, mixture=Mixture())
