"""What the plain model says, for comparison."""

from __future__ import annotations

from vispa.errors import VispaError
from vispa.generation.engine import Engine
from vispa.generation.rows import Row, Sampling
from vispa.modes.endings import ended
from vispa.modes.prompts import Prompts
from vispa.modes.refusals import refuses
from vispa.modes.templates import filled
from vispa.readers.base import Unfinished
from vispa.records import Ending, Record


class UnsteeredAnswer(Record):
    """What the plain model says to the request for a comment.

    Attributes:
        text: what was asked.
        response: the answer.
        prompt: what the model continued.
        tokens: number of generated tokens.
        ending: how the answer came to its end.
        refused: the model declines to comment, or speaks of itself as an AI.
    """

    text: str
    response: str
    prompt: str
    tokens: int
    ending: Ending = "own"
    refused: bool = False


def unsteered_answer(
    engine: Engine, prompts: Prompts, text: str, sampling: Sampling, prompt: str | None = None
) -> UnsteeredAnswer:
    """The model's own answer to what it is asked for a comment, steered toward no value.

    Args:
        engine: of the model.
        prompts: wording.
        text: a situation or question.
        sampling: how to decode.
        prompt: what to ask instead of the prompts' own wording.

    Raises:
        VispaError: the model has not come to the end of its thoughts.
    """
    row = Row(engine.chat_prompt(prompt or filled(prompts.comment, text=text), text))
    (found,) = engine.generate([row], sampling)
    if found.unfinished:
        raise VispaError(Unfinished().reason)
    response, ending = ended(found.text, found.limited)
    return UnsteeredAnswer(
        text=text, response=response, prompt=row.prompt.text, tokens=found.tokens, ending=ending,
        refused=refuses(response),
    )  # fmt: skip
