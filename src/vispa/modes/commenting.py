"""Cases of texts: what the steered model says for each of a text's values, and where each comment stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vispa.files.visible import is_blank
from vispa.generation.engine import Engine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.modes.case import Case
from vispa.modes.endings import ended
from vispa.modes.prompts import Prompts
from vispa.modes.questions import target_in_words
from vispa.modes.refusals import refuses
from vispa.modes.repeats import Encode, repeated
from vispa.modes.stances import StanceReader
from vispa.modes.templates import filled
from vispa.readers.base import Failure, Unfinished
from vispa.records import Comment, Ending, Selection, Stance
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
    encode: Encode,
    stances: StanceReader,
    progress: Progress | None = None,
) -> list[Case | Failure]:
    """The case of each request, with a steered comment for each of its values; all rows run together.

    Args:
        requests: N texts.
        selections: the values of each.
        engine: of the model.
        prompts: wording of requests that bring none of their own.
        sampling: how to decode.
        encode: sentence embeddings, by which comments that say the same are found.
        stances: reads where the comments stand.
        progress: told of comments.

    Returns:
        N cases in the order of the requests, without comments where a request wants no passages; a
        failure where the model has not come to the end of its thoughts on a value.
    """
    rows: list[Row] = []
    owners: list[int] = []
    for number, (request, selection) in enumerate(zip(requests, selections, strict=True)):
        if request.passages:
            prompt = engine.chat_prompt(request.prompt or filled(prompts.comment, text=request.text), request.text)
            rows += [Row(prompt, (Steer(chosen.value),)) for chosen in selection]
            owners += [number] * len(selection)

    def done(count: int) -> None:
        if progress is not None:
            progress(count, len(rows))

    texts = engine.generate(rows, sampling, done)
    said = [ended(one.text, one.limited) for one in texts]
    refused = [refuses(text) for text, _ in said]
    # A refusal takes no side: it is read as an empty comment.
    read = ["" if refusing else text for (text, _), refusing in zip(said, refused, strict=True)]
    found = stances.read([requests[owner].text for owner in owners], read)
    comments: list[list[Comment]] = [[] for _ in requests]
    failures: dict[int, Failure] = {}
    for place, (owner, row, text) in enumerate(zip(owners, rows, texts, strict=True)):
        if text.unfinished:
            failures.setdefault(owner, Failure(f"No comment for {row.steers[0].value}: {Unfinished().reason}"))
        comments[owner].append(_comment(row, text, said[place], found[place], refused[place]))
    asking = zip(requests, selections, marked(comments, encode), strict=True)
    return [failures.get(number) or _case(engine, *parts) for number, parts in enumerate(asking)]


def marked(comments: Sequence[Sequence[Comment]], encode: Encode) -> list[list[Comment]]:
    """The comments of each text, with what those repeat that repeat another one."""
    counting = [[None if one.refused or is_blank(one.text) else one.text for one in row] for row in comments]
    return [
        [one.model_copy(update={"repeats": first}) for one, first in zip(row, firsts, strict=True)]
        for row, firsts in zip(comments, repeated(counting, encode), strict=True)
    ]


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


def _comment(
    row: Row, text: Generated, said: tuple[str, Ending], stance: dict[Stance, float], refused: bool
) -> Comment:
    return Comment(
        value=row.steers[0].value,
        text=said[0],
        shift={block: round(length, 4) for block, length in text.shift.items()},
        prompt=row.prompt.text,
        tokens=text.tokens,
        stance=stance,
        left_out=text.left_out,
        steered=any(text.shift.values()),
        ending=said[1],
        refused=refused,
    )
