"""Cases of texts: what the steered model says for each of a text's values, and where each comment stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vispa.generation.engine import Engine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.questions import target_in_words
from vispa.modes.stances import read_stances
from vispa.modes.templates import filled
from vispa.readers.base import Failure, Unfinished
from vispa.readers.local import LocalChat
from vispa.records import Comment, Selection, Stance
from vispa.request import Request
from vispa.steering.recipe import Steer

#: Called with the number of comments just made, and how many there will be.
Progress = Callable[[int, int], None]


def commented(
    requests: Sequence[Request],
    selections: Sequence[tuple[Selection, ...]],
    engine: Engine,
    prompts: Prompts,
    sampling: Sampling,
    progress: Progress | None = None,
) -> list[Case | Failure]:
    """The case of each request, with a steered comment for each of its values; all rows run together.

    Args:
        requests: N texts.
        selections: the values of each.
        engine: of the model; unsteered, it also reads where the comments stand.
        prompts: wording of requests that bring none of their own.
        sampling: how to decode.
        progress: told of comments.

    Returns:
        N cases in the order of the requests, without comments where a request wants no passages; a
        failure where the model has not come to the end of its thoughts on a value.
    """
    rows: list[Row] = []
    owners: list[int] = []
    for number, (request, selection) in enumerate(zip(requests, selections, strict=True)):
        if request.passages:
            prompt = engine.chat_prompt(request.prompt or filled(prompts.comment, text=request.text))
            rows += [Row(prompt, (Steer(chosen.value),)) for chosen in selection]
            owners += [number] * len(selection)

    def done(count: int) -> None:
        if progress is not None:
            progress(count, len(rows))

    texts = engine.generate(rows, sampling, done)
    asked = [requests[owner].text for owner in owners]
    stances = read_stances(LocalChat(engine), asked, [one.text for one in texts], prompts)
    comments: list[list[Comment]] = [[] for _ in requests]
    failures: dict[int, Failure] = {}
    for owner, row, text, stance in zip(owners, rows, texts, stances, strict=True):
        if text.unfinished:
            failures.setdefault(owner, Failure(f"No comment for {row.steers[0].value}: {Unfinished().reason}"))
        comments[owner].append(_comment(row, text, stance))
    asking = zip(requests, selections, comments, strict=True)
    return [failures.get(number) or _case(engine, *parts) for number, parts in enumerate(asking)]


def _case(engine: Engine, request: Request, selection: tuple[Selection, ...], comments: Sequence[Comment]) -> Case:
    return Case(
        text=request.text,
        comments=comments,
        question=request.question,
        options=tuple(request.options),
        target=target_in_words(request.toward or ""),
        country=request.country,
        values=selection,
        passages=request.passages,
        unsteered=tuple(chosen.value for chosen in selection if not engine.steers(chosen.value)),
    )


def _comment(row: Row, text: Generated, stance: dict[Stance, float]) -> Comment:
    return Comment(
        value=row.steers[0].value,
        text=text.text,
        shift={block: round(length, 4) for block, length in text.shift.items()},
        prompt=row.prompt.text,
        tokens=text.tokens,
        stance=stance,
        left_out=text.left_out,
        steered=any(text.shift.values()),
    )
