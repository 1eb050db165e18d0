"""What a model answers to questions with options: weighed by its letters' probabilities, or else in writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vispa.modes.answers import read_letter
from vispa.modes.prompts import Prompts
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Distribution, Failure, Unfinished, Unweighable
from vispa.request import LETTERS

#: Longest written answer: a letter needs few tokens, a model that thinks before it answers many more.
LETTER_TOKENS = 16
THINKING_TOKENS = 2048
# How much of an answer that cannot be read is quoted, in characters.
_QUOTED = 80

#: Writes answers to messages: to those asked at these places, these texts, of at most so many tokens.
Write = Callable[[Sequence[int], Sequence[str], int], Sequence[str | Failure]]


@dataclass(frozen=True)
class Reading:
    """An answer to a question with options.

    Attributes:
        distribution: over the options; all on one where the model wrote its letter.
        prompt: what the model was asked in the end; empty where none was.
        written: the letter was written, not weighed.
    """

    distribution: Distribution
    prompt: str = ""
    written: bool = False


def read_options(
    reader: ChatModel, asked: Sequence[str], options: Sequence[Sequence[str]], prompts: Prompts
) -> list[Reading | Failure]:
    """A reader's answers, in the order of the questions.

    Args:
        reader: weighs options, and writes where that says nothing.
        asked: N texts that end where a letter is due (`… Answer:`).
        options: of each question, 1 to 26.
        prompts: wording of the request to write a letter.
    """
    found = reader.option_probabilities(asked, [len(texts) for texts in options])
    return or_written(
        found, asked, options, prompts, lambda _, texts, tokens: reader.write(texts, max_new_tokens=tokens)
    )


def or_written(
    found: Sequence[Distribution | Failure],
    asked: Sequence[str],
    options: Sequence[Sequence[str]],
    prompts: Prompts,
    write: Write,
) -> list[Reading | Failure]:
    """Answers where options have been weighed; those that could not be are asked for in writing.

    Nothing is guessed: an answer that names no option, or several, is a failure that quotes it.

    Args:
        found: N distributions, or why there is none.
        asked: N texts that end where a letter is due.
        options: of each question.
        prompts: wording of the request to write a letter.
        write: see `Write`; called again with more tokens for answers that were cut off.
    """
    places = [place for place, one in enumerate(found) if isinstance(one, Unweighable)]
    questions = {place: filled(prompts.written_answer, question=asked[place]) for place in places}
    written: dict[int, str | Failure] = {}
    for tokens in (LETTER_TOKENS, THINKING_TOKENS):
        due = [place for place in places if isinstance(written.get(place, Unfinished("")), Unfinished)]
        if due:
            written.update(zip(due, write(due, [questions[place] for place in due], tokens), strict=True))
    readings: list[Reading | Failure] = []
    for place, one in enumerate(found):
        if place in questions:
            readings.append(_written(written[place], options[place], questions[place]))
        else:
            readings.append(one if isinstance(one, Failure) else Reading(one, asked[place]))
    return readings


def _written(answer: str | Failure, options: Sequence[str], question: str) -> Reading | Failure:
    """A written answer as a distribution that is certain."""
    if isinstance(answer, Failure):
        return answer
    position = read_letter(answer, len(options), options)
    if position is None:
        quoted = answer if len(answer) <= _QUOTED else f"{answer[:_QUOTED]}…"
        letters = f"the letters A to {LETTERS[len(options) - 1]}"
        return Failure(
            f"The model was asked for one of {letters}, and its answer cannot be read as one: {quoted!a}. "
            "Choose another model to read options, or reword the question."
        )
    return Reading(np.eye(len(options))[position], question, written=True)
